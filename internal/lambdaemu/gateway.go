package lambdaemu

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"
)

// functionTimeout is how long a function behind the gateway may take.
const functionTimeout = 10 * time.Second

// Gateway is an HTTP API: it converts each request to an event, and a function's result to a response.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
type Gateway struct{ routes http.ServeMux }

// Authorizer is a JWT authorizer: it returns the claims of a request's token, or false if there is no valid one.
type Authorizer func(r *http.Request) (claims map[string]string, ok bool)

// Route sends requests of a pattern, such as "GET /v1/products/{id}", to a function. A nil authorizer lets all of them through.
func (g *Gateway) Route(pattern string, f *Pool, authorize Authorizer) {
	g.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serve(w, r, f, authorize) })
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := g.routes.Handler(r); pattern == "" {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	g.routes.ServeHTTP(w, r)
}

func serve(w http.ResponseWriter, r *http.Request, f *Pool, authorize Authorizer) {
	event, err := Event(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "Bad Request")
		return
	}
	if authorize != nil {
		claims, ok := authorize(r)
		if !ok {
			w.Header().Set("Www-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
		jwt := &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: claims}
		event.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: jwt}
	}
	result, err := f.Invoke(r.Context(), event, functionTimeout)
	var response events.APIGatewayV2HTTPResponse
	if err != nil || json.Unmarshal(result, &response) != nil {
		refuse(w, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	body := []byte(response.Body)
	if response.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(response.Body); err != nil {
			refuse(w, http.StatusInternalServerError, "Internal Server Error")
			return
		}
	}
	for name, value := range response.Headers {
		w.Header().Set(name, value)
	}
	for _, cookie := range response.Cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body) // fails only if the client has hung up
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // as above
}

// Event converts a request to an event of payload version 2.0. Header names are in lower case, repeated values are
// joined with a comma, the path is decoded, and bodies that are not text are in base64.
func Event(r *http.Request) (events.APIGatewayV2HTTPRequest, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return events.APIGatewayV2HTTPRequest{}, err
	}
	client, _, _ := net.SplitHostPort(r.RemoteAddr) // else it stays empty
	headers := map[string]string{"host": r.Host, "x-forwarded-for": client, "x-forwarded-proto": "https"}
	var cookies []string
	for name, values := range r.Header {
		if name == "Cookie" {
			cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default", RawPath: r.URL.Path, RawQueryString: r.URL.RawQuery, Cookies: cookies, Headers: headers,
		QueryStringParameters: parameters(r.URL.Query()), Body: string(body),
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "$default", AccountID: "123456789012", Stage: "$default", RequestID: uuid.NewString(), APIID: "api-id",
			DomainName: "api-id.execute-api.eu-west-1.amazonaws.com", DomainPrefix: "api-id",
			Time: time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: time.Now().UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: r.URL.Path, Protocol: "HTTP/1.1", SourceIP: client, UserAgent: r.UserAgent(),
			},
		},
	}
	if !textual(r.Header.Get("Content-Type")) || !utf8.Valid(body) {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), len(body) > 0
	}
	return event, nil
}

// textual reports whether the gateway passes on a body of this type unchanged.
func textual(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType == ""
	}
	switch kind {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(kind, "text/")
}

func parameters(query url.Values) map[string]string {
	if len(query) == 0 {
		return nil
	}
	joined := map[string]string{}
	for name, values := range query {
		joined[name] = strings.Join(values, ",")
	}
	return joined
}
