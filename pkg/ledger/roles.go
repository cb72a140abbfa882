package ledger

import "slices"

// Role is what a program does with the ledger. Each has a database user of its own, which may only do that: what serves
// products cannot mark an order paid.
type Role string

// The roles. All but RoleApp are a function each.
const (
	RoleApp      Role = "app" // `flashsale run` and its commands, which do everything
	RoleProducts Role = "products"
	RoleHolds    Role = "holds"
	RoleOrders   Role = "orders"
	RoleWebhook  Role = "webhook"
	RoleExpire   Role = "expire"
	RoleAdmin    Role = "admin"
)

// rights are the routines that a role may call, and the tables that it may read; no tables means all.
type rights struct{ routines, tables []string }

var rightsOf = map[Role]rights{
	RoleApp: {routines: []string{
		"place_hold", "place_holds", "release_hold", "create_order", "cancel_order", "apply_event", "apply_payments", "keep_event", "retry_event", "postpone_event", "reject_event", "record_refund",
		"expire_due", "put_product", "delete_product", "block_shopper", "snapshot", "prune_ended", "prune_events", "move_marks", "mend_mark", "record_audit",
	}},
	RoleProducts: {tables: []string{"products", "holds", "orders"}},
	RoleHolds:    {routines: []string{"place_hold", "place_holds", "release_hold", "snapshot"}, tables: []string{"products", "holds", "orders"}},
	RoleOrders:   {routines: []string{"create_order", "cancel_order", "snapshot"}, tables: []string{"products", "holds", "orders"}},
	RoleWebhook: {
		routines: []string{"apply_event", "apply_payments", "keep_event", "retry_event", "postpone_event", "reject_event"},
		tables:   []string{"products", "holds", "orders", "payments", "payment_events"},
	},
	RoleExpire: {routines: []string{
		"expire_due", "retry_event", "postpone_event", "prune_ended", "prune_events", "move_marks", "mend_mark", "record_audit",
	}},
	RoleAdmin: {routines: []string{"put_product", "delete_product", "release_hold", "cancel_order", "block_shopper", "record_refund", "record_audit", "snapshot"}},
}

// Roles lists all roles.
func Roles() []Role {
	return []Role{RoleApp, RoleProducts, RoleHolds, RoleOrders, RoleWebhook, RoleExpire, RoleAdmin}
}

// Routines lists all routines, by the names of their files without .sql.
func Routines() []string {
	var names []string
	for name := range routines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// InstalledText is the text that creates a routine of this release in a database.
func InstalledText(routine string) string { return routines[routine].text }

// InstalledName is the name that a routine of this release has in a database.
func InstalledName(routine string) string { return routines[routine].installed }

// User is the name of the role's user of a database, such as flashsale_holds.
func (r Role) User(database string) string { return database + "_" + string(r) }

// MayCall reports whether a role may call a routine.
func (r Role) MayCall(routine string) bool { return slices.Contains(rightsOf[r].routines, routine) }
