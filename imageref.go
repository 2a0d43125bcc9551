package ridgeline

import "strings"

// ImageReference is where a registry's client finds an image by its stored
// name. A name of the embedded registry, which different clients reach under
// different addresses, is without a host (diabetes@sha256:…): the result has
// embedded before it. One of another registry is a whole reference
// (registry.example.com/ml/diabetes@sha256:…) and stays as it is. An empty
// name, of what has no image, stays empty.
func ImageReference(embedded, stored string) string {
	if stored == "" || embedded == "" || HostedImage(stored) {
		return stored
	}
	return embedded + "/" + stored
}

// HostedImage says whether a stored name begins with its registry's host, by
// the rule of all clients: what stands before the first slash has a dot or a
// colon, or is localhost.
func HostedImage(stored string) bool {
	host, _, ok := strings.Cut(stored, "/")
	return ok && (strings.ContainsAny(host, ".:") || host == "localhost")
}
