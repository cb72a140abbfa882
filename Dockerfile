# The flashsale command, for a server of your own: see docs/self-hosting.md. (On AWS the functions are no containers.)
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /flashsale ./cmd/flashsale

FROM debian:bookworm-slim
# ca-certificates: to read the keys of an identity provider. curl: for the health check.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/flashsale flashsale
COPY --from=build /flashsale /usr/local/bin/flashsale
USER flashsale
# The command keeps a record of the running server below its directory.
WORKDIR /var/lib/flashsale
ENV ADDR=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["curl", "-fsS", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["flashsale"]
CMD ["run"]
