package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// The issuer and the audience of development tokens.
const (
	DevelopmentIssuer   = "urn:flashsale:development"
	DevelopmentAudience = "flashsale"
)

// Development is an issuer that signs a token for any name, to try sign-in without an identity provider.
type Development struct {
	key *ecdsa.PrivateKey
	id  string // of the key
}

// NewDevelopment makes an issuer with a new key.
func NewDevelopment() (*Development, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the development issuer's key: %w", err)
	}
	return developmentOf(key)
}

// ParseDevelopment reads an issuer that PEM wrote.
func ParseDevelopment(text []byte) (*Development, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the development issuer's key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the development issuer's key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the development issuer's key is not an ECDSA key of the curve P-256")
	}
	return developmentOf(key)
}

func developmentOf(key *ecdsa.PrivateKey) (*Development, error) {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("naming the development issuer's key: %w", err)
	}
	digest := sha256.Sum256(public)
	return &Development{key, hex.EncodeToString(digest[:8])}, nil
}

// PEM returns the private key as text.
func (d *Development) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(d.key)
	if err != nil {
		return nil, fmt.Errorf("writing the development issuer's key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Token returns a token that signs in the shopper of this name, and is valid for a time to live.
func (d *Development) Token(name string, ttl time.Duration) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: DevelopmentIssuer, Audience: jwt.ClaimStrings{DevelopmentAudience}, Subject: name,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
	})
	token.Header["kid"] = d.id
	return token.SignedString(d.key)
}

// Keys is the source of the issuer's public key.
func (d *Development) Keys(context.Context) ([]byte, error) {
	metadata := jwkset.JWKMetadataOptions{ALG: jwkset.AlgES256, KID: d.id, USE: jwkset.UseSig}
	key, err := jwkset.NewJWKFromKey(&d.key.PublicKey, jwkset.JWKOptions{Metadata: metadata})
	if err != nil {
		return nil, fmt.Errorf("publishing the development issuer's key: %w", err)
	}
	return json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{key.Marshal()}})
}
