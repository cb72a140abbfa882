package lambdaserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"flashsale/pkg/checkout"
	"flashsale/pkg/lambdaserver"
)

// serve makes the function of a handler. The problem's body is the error.
func serve(handler http.HandlerFunc) (*lambdaserver.HTTP, *bytes.Buffer) {
	var log bytes.Buffer
	return &lambdaserver.HTTP{
		Handler: handler,
		Problem: func(w http.ResponseWriter, requestID string, err error) {
			w.Header().Set("X-Request-Id", requestID)
			status := http.StatusInternalServerError
			if checkout.CodeOf(err) != "" {
				status = http.StatusServiceUnavailable
			}
			http.Error(w, string(checkout.CodeOf(err)), status)
		},
		Metrics: lambdaserver.NewMetrics("test", io.Discard), Logger: lambdaserver.NewLogger(&log, 0),
	}, &log
}

func mustEvent(t *testing.T, name string) (e events.APIGatewayV2HTTPRequest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func invoke(t *testing.T, f *lambdaserver.HTTP, e events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	t.Helper()
	response, err := f.Invoke(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// seen is what a handler sees of a request.
type seen struct {
	Method, Host, Path, Query, RequestURI, RemoteAddr string
	Header                                            http.Header
	Body                                              string
}

func see(r *http.Request) seen {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte("error: " + err.Error())
	}
	return seen{r.Method, r.Host, r.URL.Path, r.URL.RawQuery, r.RequestURI, r.RemoteAddr, r.Header, string(body)}
}

// The handler sees the same request from API Gateway's event as from net/http's server.
func TestEventsBecomeTheSameRequests(t *testing.T) {
	type request struct {
		target, client, requestID, body string
	}
	webhook := "{\"type\":\"payment.succeeded\",\"data\":{\"note\":\"Gr\u00fc\u00dfe, \xfe\xff\"}}"
	for name, want := range map[string]request{
		"stripe-webhook.json":  {"/v1/payments/webhook/stripe", "54.187.174.169:0", "UpPmHh0XjoEEM9g=", "{\n  \"id\": \"evt_1\",\n  \"object\": \"event\",\n  \"type\": \"payment_intent.succeeded\"\n}"},
		"webhook-base64.json":  {"/v1/payments/webhook", "203.0.113.7:0", "UpPmHh0YjoEEM9h=", webhook},
		"not-modified.json":    {"/v1/products/demo", "[2001:db8::7]:0", "UpPmHh0ZjoEEM9i=", ""},
		"stage-and-query.json": {"/v1/products?limit=5&cursor=YQ%3D%3D&cursor=b%2Cc&empty=&semi;colon=%zz", "203.0.113.7:0", "UpPmHh0ajoEEM9j=", ""},
		"decoded-path.json":    {"/v1/products/100%25%20wool%3Fsize=%231", "203.0.113.7:0", "UpPmHh0bjoEEM9k=", ""},
		"sam-local.json":       {"/v1/payments/webhook", "127.0.0.1:0", "dff3f041-2024-4264-be6b-9283dadf4b48", `{"type":"payment.succeeded","timestamp":"2026-11-25T01:48:18.000Z","data":{"payment_id":"pay_1","order_id":"ord_06eznakzc9z0g7sck8n1zzw6v0","amount":4999,"currency":"USD"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			event := mustEvent(t, name)
			var got seen
			f, _ := serve(func(_ http.ResponseWriter, r *http.Request) { got = see(r) })
			invoke(t, f, event)

			var expected seen
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { expected = see(r) }))
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), event.RequestContext.HTTP.Method, server.URL, strings.NewReader(want.body))
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Opaque, r.URL.RawQuery, _ = strings.Cut(want.target, "?")
			r.URL.Path = ""
			for name, value := range event.Headers {
				r.Header.Set(name, value)
			}
			for _, cookie := range event.Cookies {
				r.Header.Add("Cookie", cookie)
			}
			r.Host = r.Header.Get("Host")
			r.Header.Del("Content-Length") // the client writes its own
			if r.Header.Get("User-Agent") == "" {
				r.Header["User-Agent"] = nil
			}
			r.Header.Set("Accept-Encoding", "identity")
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()

			expected.RemoteAddr = want.client
			expected.Header.Set("X-Request-Id", want.requestID)
			for _, header := range []http.Header{expected.Header, got.Header} {
				header.Del("Content-Length")
				header.Del("Accept-Encoding")
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("-net/http +event:\n%s", diff)
			}
		})
	}
}

// responseTo is what the function returns for the writes of a handler: the response that net/http would send.
type responseTo struct {
	handler http.HandlerFunc
	status  int
	header  map[string]string
	body    string
	base64  bool
	cookies []string
}

func checkResponses(t *testing.T, cases map[string]responseTo) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, log := serve(tc.handler)
			got := invoke(t, f, mustEvent(t, "not-modified.json"))
			if tc.header == nil {
				tc.header = map[string]string{}
			}
			if tc.cookies == nil {
				tc.cookies = []string{}
			}
			want := events.APIGatewayV2HTTPResponse{StatusCode: tc.status, Headers: tc.header, Body: tc.body, IsBase64Encoded: tc.base64, Cookies: tc.cookies}
			if diff := cmp.Diff(want, got); diff != "" || log.Len() > 0 {
				t.Errorf("-want +got:\n%s\nlog: %s", diff, log)
			}
		})
	}
}

func TestFirstStatusIsTheResponse(t *testing.T) {
	checkResponses(t, map[string]responseTo{
		"the first status counts": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusConflict)
				w.WriteHeader(http.StatusOK)
			}, status: http.StatusConflict,
		},
		"a status after the body is late": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "text")
				w.WriteHeader(http.StatusInternalServerError)
			},
			status: http.StatusOK, body: "text", header: map[string]string{"Content-Type": "text/plain; charset=utf-8"},
		},
		"headers after the status are late": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("ETag", `W/"1"`)
				w.WriteHeader(http.StatusCreated)
				w.Header().Set("ETag", `W/"2"`)
				w.Header().Set("Location", "/late")
			},
			status: http.StatusCreated, header: map[string]string{"Etag": `W/"1"`},
		},
		"a 1xx status is not the response": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusNoContent)
			}, status: http.StatusNoContent,
		},
	})
}

func TestResponsesWithoutBody(t *testing.T) {
	checkResponses(t, map[string]responseTo{
		"nothing written": {handler: func(http.ResponseWriter, *http.Request) {}, status: http.StatusOK},
		"not modified has no body": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNotModified)
				if _, err := io.WriteString(w, "body"); !errors.Is(err, http.ErrBodyNotAllowed) {
					panic(err)
				}
			},
			status: http.StatusNotModified,
		},
		"no content has no body": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNoContent)
				_, _ = io.WriteString(w, "body")
			},
			status: http.StatusNoContent,
		},
	})
}

func TestResponseHeadersCookiesAndBytes(t *testing.T) {
	checkResponses(t, map[string]responseTo{
		"several values and cookies": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Allow"] = []string{"GET", "DELETE"}
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
				http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
				w.WriteHeader(http.StatusMethodNotAllowed)
			},
			status: http.StatusMethodNotAllowed, header: map[string]string{"Allow": "GET,DELETE"}, cookies: []string{"a=1", "b=2"},
		},
		"bytes that are no text": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "image/png")
				_, _ = w.Write([]byte{0x89, 'P', 'N', 'G', 0xff})
			},
			status: http.StatusOK, header: map[string]string{"Content-Type": "image/png"}, body: "iVBOR/8=", base64: true,
		},
	})
}

func TestPanicIsALoggedProblem(t *testing.T) {
	f, log := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/half")
		panic("hunter2")
	})
	for range 2 { // the function must survive
		got := invoke(t, f, mustEvent(t, "not-modified.json"))
		if got.StatusCode != http.StatusInternalServerError || strings.Contains(got.Body, "hunter2") || got.Headers["Location"] != "" || got.Headers["X-Request-Id"] != "UpPmHh0ZjoEEM9i=" {
			t.Errorf("the response is %+v, expected 500 without the cause", got)
		}
		var line struct {
			Level, Error string
			RequestID    string `json:"request_id"`
		}
		if err := json.NewDecoder(log).Decode(&line); err != nil || line.Level != "ERROR" || line.RequestID != "UpPmHh0ZjoEEM9i=" ||
			!strings.Contains(line.Error, "hunter2") || !strings.Contains(line.Error, "http_test.go") {
			t.Errorf("the log line is %+v (%v), expected an ERROR with the cause and the request id", line, err)
		}
	}
}

func TestRejectsNonHTTPEvent(t *testing.T) {
	for name, change := range map[string]func(*events.APIGatewayV2HTTPRequest){
		"body that is not base64": func(e *events.APIGatewayV2HTTPRequest) { e.Body = "%" },
		"method with a space":     func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "GET /" },
	} {
		t.Run(name, func(t *testing.T) {
			f, log := serve(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			event := mustEvent(t, "webhook-base64.json")
			change(&event)
			if got := invoke(t, f, event); got.StatusCode/100 == 2 || !strings.Contains(log.String(), `"level":"INFO"`) || strings.Contains(log.String(), "ERROR") {
				t.Errorf("got %+v and the log %q, expected a refusal and a line at INFO", got, log)
			}
		})
	}
}

// A response is sent before the function's deadline, whether or not the handler heeds its context.
func TestRespondsBeforeFunctionDeadline(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		left    time.Duration // the time until the function's deadline
		status  int
		atMost  time.Duration // the upper bound of the response time
	}{
		"a handler that heeds its context": {
			func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); w.WriteHeader(http.StatusTeapot) }, 10 * time.Second, http.StatusTeapot, 9500 * time.Millisecond,
		},
		"a handler that ignores it": {
			func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }, 10 * time.Second, http.StatusServiceUnavailable, 9750 * time.Millisecond,
		},
		"too late from the start": {
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); time.Sleep(time.Minute) }, 100 * time.Millisecond, http.StatusServiceUnavailable, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := serve(tc.handler)
				ctx, cancel := context.WithTimeout(t.Context(), tc.left)
				defer cancel()
				start := time.Now()
				got, err := f.Invoke(ctx, mustEvent(t, "not-modified.json"))
				if took := time.Since(start); err != nil || got.StatusCode != tc.status || took > tc.atMost {
					t.Errorf("got %d after %v (%v), expected a response in time", got.StatusCode, took, err)
				}
				time.Sleep(2 * time.Minute) // until the handler has returned, too
			})
		})
	}
}

// Writes of an abandoned handler are dropped.
func TestAbandonedHandlerWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := serve(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("X-Late", "yes")
			if _, err := io.WriteString(w, "late"); err != nil {
				t.Error("before the deadline:", err)
			}
			time.Sleep(time.Minute)
			w.Header().Set("X-Late", "later")
			_, _ = io.WriteString(w, "later")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		got, err := f.Invoke(ctx, mustEvent(t, "not-modified.json"))
		if err != nil || got.StatusCode != http.StatusServiceUnavailable || strings.Contains(got.Body, "late") || got.Headers["X-Late"] != "" {
			t.Errorf("got %+v (%v), expected 503 without the late writes", got, err)
		}
		time.Sleep(2 * time.Minute) // the abandoned handler's writes must not race with the response
	})
}

// A path that only begins with the stage's name is not in that stage.
func TestOnlyWholeStageIsRemovedFromPath(t *testing.T) {
	for path, want := range map[string]string{"/prod/v1/products": "/v1/products", "/production/v1": "/production/v1", "/prod": "/", "/v1/prod": "/v1/prod"} {
		event := mustEvent(t, "stage-and-query.json")
		event.RawPath = path
		f, _ := serve(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != want {
				t.Errorf("%s became %s, want %s", path, r.URL.Path, want)
			}
		})
		invoke(t, f, event)
	}
}

func TestHandlerGetsQuery(t *testing.T) {
	f, _ := serve(func(_ http.ResponseWriter, r *http.Request) {
		if diff := cmp.Diff(url.Values{"limit": {"5"}, "cursor": {"YQ==", "b,c"}, "empty": {""}}, r.URL.Query()); diff != "" {
			t.Error(diff)
		}
	})
	invoke(t, f, mustEvent(t, "stage-and-query.json"))

	byHand := mustEvent(t, "stage-and-query.json")
	byHand.RawQueryString, byHand.QueryStringParameters = "", map[string]string{"limit": "5", "cursor": "a&b=c"}
	f, _ = serve(func(_ http.ResponseWriter, r *http.Request) {
		if diff := cmp.Diff(url.Values{"limit": {"5"}, "cursor": {"a&b=c"}}, r.URL.Query()); diff != "" {
			t.Error(diff)
		}
	})
	invoke(t, f, byHand)
}
