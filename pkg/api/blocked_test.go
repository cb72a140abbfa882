package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"flashsale/pkg/checkout"
)

// A blocked shopper gets the code of a limit. The request line tells the operator which of the two it was.
func TestLogTellsABlockFromALimit(t *testing.T) {
	t.Parallel()
	for limit, blocked := range map[int64]bool{0: true, 2: false} {
		var log strings.Builder
		handler := withDefaults(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			writeProblem(w, infoOf(r.Context()), checkout.ShopperLimit(limit, 2))
		}), slog.New(slog.NewJSONHandler(&log, nil)), checkout.NoRecorder{})
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/holds", nil))
		line, body := log.String(), response.Body.String()
		if strings.Contains(line, `"blocked":true`) != blocked || !strings.Contains(line, `"code":"shopper_limit"`) || strings.Contains(body, "blocked") {
			t.Errorf("with the limit %d: logged %s and responded with %s, expected blocked in the line: %t", limit, line, body, blocked)
		}
	}
}
