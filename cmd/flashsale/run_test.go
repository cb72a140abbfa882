package main

import (
	"strings"
	"testing"
	"time"

	"flashsale/pkg/app"
)

func TestBannerShowsDurationsWhole(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		2 * time.Minute: "2m", time.Hour: "1h", 90 * time.Second: "1m30s", 10 * time.Second: "10s", 30 * time.Second: "30s", 10 * time.Minute: "10m",
		20 * time.Minute: "20m", time.Hour + 10*time.Minute: "1h10m", 10 * time.Hour: "10h", 100 * time.Millisecond: "100ms",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is shown as %q, expected %q", d, got, want)
		}
	}
}

// With sign-in or an edge, the requests to copy carry what they need, or the banner says where it comes from.
func TestBannersLinesWork(t *testing.T) {
	t.Parallel()
	c := app.LocalConfig{Addr: "127.0.0.1:8080"}
	text := banner(c, c.Addr, &servers{}, false)
	if !strings.HasPrefix(text, "\nThe shop: http://127.0.0.1:8080/shop/\nLive:     http://127.0.0.1:8080/live/\n\n") || strings.Contains(text, "$TOKEN") || strings.Contains(text, "$EDGE_SECRET") || strings.Contains(text, "must show") {
		t.Errorf("got\n%s, expected the shop and the operator's page first, and neither a token, an edge nor an order limit", text)
	}
	if !strings.Contains(text, " buy demo\n") || !strings.Contains(text, " token ada)") || strings.Count(text, "| tee /dev/stderr | grep") != 2 || strings.Count(text, " &&\n") != 3 {
		t.Errorf("got\n%s, expected lines that show a refusal and stop there", text)
	}
	c.JWTIssuer, c.JWTAudience, c.EdgeSecrets, c.OrderLimit = "https://shop.example.com", "shop", []string{"hunter2"}, 10*time.Minute
	text = banner(c, c.Addr, &servers{}, false)
	const headers = ` -H "Authorization: Bearer $TOKEN" -H "Flashsale-Edge: ${EDGE_SECRET%%,*}"`
	if strings.Count(text, headers) != 3 || strings.Contains(text, "hunter2") || strings.Contains(text, "/shop/") || strings.Contains(text, " buy demo") {
		t.Errorf("got\n%s, expected three requests with %s, no secret, and no shop for a browser without the header", text, headers)
	}
	for _, part := range []string{"within 10m of the hold", "need a token of https://shop.example.com for shop.", "with such a token in TOKEN", "with EDGE_SECRET as here"} {
		if !strings.Contains(text, part) {
			t.Errorf("expected %q in\n%s", part, text)
		}
	}
}

// A real shop has no demo product and no operator's page of its own.
func TestBannerOffersARealShopNothingOfDevelopment(t *testing.T) {
	t.Parallel()
	c := app.LocalConfig{Addr: "127.0.0.1:8080", Config: app.Config{WebhookSecrets: []string{"hunter2"}}}
	text := banner(c, c.Addr, &servers{}, true)
	for _, part := range []string{"demo", "/live/", "hunter2"} {
		if strings.Contains(text, part) {
			t.Errorf("got\n%s, expected nothing with %q", text, part)
		}
	}
	for _, part := range []string{"The shop: http://127.0.0.1:8080/shop/\n\n", "product put", "http://127.0.0.1:8080/metrics\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("got\n%s, expected %q", text, part)
		}
	}
}

// Only this machine can open the operator's page.
func TestBannerShowsThePageAtThisMachinesAddress(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/live/", "[::1]:8080": "http://[::1]:8080/live/",
		"0.0.0.0:8080": "http://127.0.0.1:8080/live/", "[::]:8080": "http://127.0.0.1:8080/live/", "10.0.0.5:8080": "",
	} {
		if got := strings.TrimSpace(strings.TrimPrefix(liveLine(addr), "Live:")); got != want {
			t.Errorf("at %s the page is shown at %q, expected %q", addr, got, want)
		}
	}
}
