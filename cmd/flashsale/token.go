package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"flashsale/pkg/api"
	"flashsale/pkg/signin"
)

// signInKeyFile has the key of this directory's development issuer. The first `flashsale run` makes it.
var signInKeyFile = filepath.Join(localDir, "signin-key.pem")

// maxTokenTTL limits a development token. Only a new key can revoke one.
const maxTokenTTL = 30 * 24 * time.Hour

type tokenCmd struct {
	Name string        `arg:"" help:"Any name; the same name is the same shopper."`
	TTL  time.Duration `help:"How long the token is valid, such as 90s or 1h (default: ${default})." default:"1h" placeholder:"DURATION"`
	jsonFlag
}

func (c tokenCmd) Run(env environment) error {
	if err := localOnly(env); err != nil {
		return err
	}
	if c.TTL < time.Second || c.TTL > maxTokenTTL {
		return fmt.Errorf("%w: --ttl is %s, expected 1s to %s", errUsage, c.TTL, maxTokenTTL)
	}
	expires := time.Now().Add(c.TTL).UTC().Truncate(time.Second)
	token, err := developmentToken(env, c.Name, c.TTL)
	if err != nil {
		return err
	}
	return c.print(env, struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}{token, expires}, "%s\n", token)
}

// developmentToken returns a token that signs a shopper in to this directory's server.
func developmentToken(env environment, name string, ttl time.Duration) (string, error) {
	if env.config.JWTIssuer != "" {
		return "", fmt.Errorf("%w: JWT_ISSUER is set, so the server takes only tokens of %s", errRefused, env.config.JWTIssuer)
	}
	text, err := os.ReadFile(signInKeyFile) //nolint:gosec // G304: a file of the shop
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w here: there is no %s to sign with; use the directory of `flashsale run`", errNoShop, signInKeyFile)
	}
	if err != nil {
		return "", fmt.Errorf("reading the development sign-in key: %w", err)
	}
	issuer, err := signin.ParseDevelopment(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", signInKeyFile, err)
	}
	return issuer.Token(name, ttl)
}

// shoppersSignIn returns how shoppers sign in to `flashsale run`: with a token of JWT_ISSUER. Without JWT_ISSUER they are anonymous, or
// sign in with a token of the development issuer.
func shoppersSignIn(env environment) (api.SignIn, error) {
	c := env.config
	if c.JWTIssuer == "" {
		issuer, err := developmentIssuer()
		if err != nil {
			return nil, err
		}
		keys := signin.NewKeys(issuer.Keys, env.log)
		return signin.NewVerifier(signin.DevelopmentIssuer, signin.DevelopmentAudience, keys, false).SignIn, nil
	}
	source := signin.Locate(c.JWTIssuer, c.JWTJWKS, nil)
	keys := signin.NewKeys(source, env.log)
	if err := keys.Load(env.ctx); signin.IsFile(c.JWTJWKS) && err != nil {
		return nil, fmt.Errorf("%w: JWT_JWKS: %w", errUsage, err)
	} else if err != nil {
		// Webhooks must be taken while the issuer is down, so the server starts without its keys.
		env.log.ErrorContext(env.ctx, "shoppers cannot sign in until the issuer's keys can be read", "error", err.Error())
	}
	return signin.NewVerifier(c.JWTIssuer, c.JWTAudience, keys, true).SignIn, nil
}

// developmentIssuer returns the development issuer of this directory, and makes its key if there is none.
func developmentIssuer() (*signin.Development, error) {
	text, err := os.ReadFile(signInKeyFile) //nolint:gosec // G304: a file of the shop
	if errors.Is(err, fs.ErrNotExist) {
		text, err = newSignInKey()
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the development sign-in key: %w", err)
	}
	issuer, err := signin.ParseDevelopment(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", signInKeyFile, err)
	}
	return issuer, nil
}

// newSignInKey writes a new key, which appears as a whole. Of two servers that start at the same time, both get the first key.
func newSignInKey() ([]byte, error) {
	issuer, err := signin.NewDevelopment()
	if err != nil {
		return nil, err
	}
	text, err := issuer.PEM()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(localDir, 0o750); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(localDir, "signin-key-*") // with mode 0600
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(file.Name(), signInKeyFile); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(signInKeyFile) //nolint:gosec // G304: a file of the shop
}
