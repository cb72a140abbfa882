package main

import (
	"testing"
	"time"
)

func TestBannerShowsDurationsWhole(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		2 * time.Minute: "2m", time.Hour: "1h", 90 * time.Second: "1m30s", 10 * time.Second: "10s", 30 * time.Second: "30s", 10 * time.Minute: "10m", 20 * time.Minute: "20m",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is shown as %q, expected %q", d, got, want)
		}
	}
}

// "orders cancel --product tee --shopper "$ID" --yes" with an unset ID must not select every shopper.
func TestEmptyFlagSelectsNotEverybody(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"orders", "cancel", "--product", "tee", "--shopper", "", "--yes"},
		{"holds", "release", "--product", "", "--older-than", "30s", "--yes"},
	} {
		if code := run(args, t.Output(), t.Output()); code != exitUsage {
			t.Errorf("flashsale %q: exit %d, expected %d", args, code, exitUsage)
		}
	}
}
