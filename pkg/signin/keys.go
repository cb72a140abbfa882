package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/singleflight"

	"flashsale/pkg/checkout"
)

const (
	// keysTTL is how long keys are used before they are read again: a key that the issuer removed is refused after that.
	keysTTL = 5 * time.Minute
	// keysPause is the minimum interval between two reads, so that tokens with invented key ids cannot flood the issuer.
	keysPause = 10 * time.Second
	// firstPause is the minimum interval while no key is known.
	firstPause = time.Second
	// readTimeout limits a read. A request with an unknown key id waits for it.
	readTimeout = 3 * time.Second
)

// Keys are an issuer's public keys. They are read at the first token, again when a token names an unknown one, and when they are
// older than 5 minutes. If that fails, the known keys stay in use. Keys are safe for concurrent use.
type Keys struct {
	source Source
	log    *slog.Logger
	reads  singleflight.Group

	mu      sync.Mutex
	current *keySet   // nil: none was read yet
	failed  error     // why current is nil
	readAt  time.Time // time of the last success
	notSoon time.Time // no read before this time
}

// keySet is one reading of the source.
type keySet struct{ keyfunc.Keyfunc }

// NewKeys returns the keys of a source, which is not read yet.
func NewKeys(source Source, log *slog.Logger) *Keys { return &Keys{source: source, log: log} }

// Load reads the keys, for a program that checks at its start whether it can.
func (k *Keys) Load(ctx context.Context) error {
	_, err := k.reload(ctx)
	return err
}

// inUse returns the keys that were read last, or nil. If they are old, it starts to read them again and does not wait.
func (k *Keys) inUse(ctx context.Context) *keySet {
	k.mu.Lock()
	known, old := k.current, time.Since(k.readAt) > keysTTL
	k.mu.Unlock()
	if known != nil && old {
		k.startReload(ctx)
	}
	return known
}

// find returns the key that the token names, and the reading that has it.
func (k *Keys) find(ctx context.Context, token *jwt.Token) (key any, in *keySet, err error) {
	if _, named := token.Header["kid"]; !named {
		return nil, nil, errors.New("the token names no key")
	}
	known := k.inUse(ctx)
	if known == nil {
		if known, err = k.reload(ctx); err != nil {
			return nil, nil, checkout.Busy(err)
		}
	}
	key, err = known.KeyfuncCtx(ctx)(token)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, known, err
	}
	if newer, failed := k.reload(ctx); failed == nil && newer != known {
		key, err = newer.KeyfuncCtx(ctx)(token)
		return key, newer, err
	}
	return nil, nil, err
}

// reload reads the keys, unless they were just read, and returns those in use.
func (k *Keys) reload(ctx context.Context) (*keySet, error) {
	select {
	case read := <-k.startReload(ctx):
		current, _ := read.Val.(*keySet)
		return current, read.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startReload joins a read that is under way, or starts one that does not end with the request.
func (k *Keys) startReload(ctx context.Context) <-chan singleflight.Result {
	ctx = context.WithoutCancel(ctx)
	return k.reads.DoChan("", func() (any, error) {
		k.mu.Lock()
		current, failed, soon := k.current, k.failed, time.Now().Before(k.notSoon)
		k.mu.Unlock()
		if soon {
			return current, failed
		}
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		read, err := k.read(ctx)

		k.mu.Lock()
		defer k.mu.Unlock()
		now := time.Now()
		switch {
		case err == nil:
			k.current, k.failed, k.readAt, k.notSoon = read, nil, now, now.Add(keysPause)
		case k.current == nil:
			k.failed, k.notSoon = err, now.Add(firstPause)
		default:
			k.log.WarnContext(ctx, "the sign-in keys cannot be read; the known ones stay in use", "error", err.Error())
			k.notSoon = now.Add(keysPause)
		}
		return k.current, k.failed
	})
}

// read returns the keys of the source that may sign. It skips a key that it cannot use, as RFC 7517, section 5, asks.
func (k *Keys) read(ctx context.Context) (*keySet, error) {
	text, err := k.source(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the sign-in keys: %w", err)
	}
	var set struct {
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("reading the sign-in keys: expected a JSON Web Key Set: %w", err)
	}
	usable := jwkset.NewMemoryStorage()
	count := 0
	for _, m := range set.Keys {
		key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || m.KID == "" || m.USE == jwkset.UseEnc {
			continue
		}
		if err := usable.KeyWrite(ctx, key); err != nil {
			return nil, fmt.Errorf("keeping the sign-in keys: %w", err)
		}
		count++
	}
	if count == 0 {
		return nil, fmt.Errorf("reading the sign-in keys: none of %d keys has an id and can verify signatures", len(set.Keys))
	}
	byID, err := keyfunc.New(keyfunc.Options{Storage: usable})
	return &keySet{byID}, err
}
