package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// pullSecret is the start of the token with which the nodes of a cluster pull
// images.
const pullSecret = Secret + "pull_"

// PullToken is the token that reads the registry, and nothing else. It is the
// same for ever, for a node may have to pull an image at any time: what is
// pulled is no secret to whoever may read secrets in the cluster's namespace.
func (a *Authenticator) PullToken() string { return pullSecret + a.derive("pull token", 20) }

// ServerID tells this server, and the others of its database, from strangers'.
// It is no secret.
func (a *Authenticator) ServerID() string { return a.derive("server id", 5) }

// UploadSecret is what the registry signs the addresses of uploads with.
func (a *Authenticator) UploadSecret() string { return a.derive("registry uploads", 20) }

// Pulls says whether a secret is the token that reads the registry.
func (a *Authenticator) Pulls(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(secret), []byte(a.PullToken())) == 1
}

// gatewaySecret is the start of the token with which the gateways on a cluster
// ask for what they have to know.
const gatewaySecret = Secret + "gate_"

// GatewayToken is the token of the gateways on a cluster. It tells them hashes
// of endpoints' keys and takes labels, and does nothing else. It is the same
// for ever: a gateway has to find its server again after any time.
func (a *Authenticator) GatewayToken() string { return gatewaySecret + a.derive("gateway token", 20) }

// Gateways says whether a secret is the token of the gateways on a cluster.
func (a *Authenticator) Gateways(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(secret), []byte(a.GatewayToken())) == 1
}

func (a *Authenticator) derive(what string, bytes int) string {
	mac := hmac.New(sha256.New, a.secret)
	fmt.Fprint(mac, what)
	return encode(mac.Sum(nil)[:bytes])
}
