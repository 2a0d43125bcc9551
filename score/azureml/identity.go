package azureml

import (
	"errors"
	"net/http"
	"slices"

	"github.com/ridgeline-mlops/ridgeline/score/exchange"
)

const idLimit = 100 // characters of an id header

// identity is the three ids of a request, as its answer carries them.
type identity struct {
	request string // x-request-id
	legacy  string // x-ms-request-id
	client  string // x-ms-client-request-id
}

// identify takes the ids from a request's headers or makes them up:
// x-request-id is echoed or new; x-ms-client-request-id is echoed, else what
// x-ms-request-id said; x-ms-request-id is echoed, else the client's, else
// x-request-id. An id over 100 characters is an error, answered with 431.
func identify(h http.Header) (identity, error) {
	var id identity
	id.request = h.Get(requestID)
	if id.request == "" {
		id.request = exchange.NewID()
	}
	if len(id.request) > idLimit {
		return identity{}, errors.New("x-request-id must not exceed 100 characters")
	}
	legacy, client := h.Get(legacyID), h.Get(clientID)
	if client == "" {
		client = legacy
	}
	if legacy == "" {
		legacy = client
	}
	if legacy == "" {
		legacy = id.request
	}
	if len(legacy) > idLimit || len(client) > idLimit {
		return id, errors.New("x-ms-request-id and x-ms-client-request-id must not exceed 100 characters")
	}
	id.legacy, id.client = legacy, client
	return id, nil
}

func (id identity) set(h http.Header) {
	put := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	put(requestID, id.request)
	put(legacyID, id.legacy)
	put(clientID, id.client)
}

// cors adds what a browser needs to let a page of an allowed origin read the
// answer.
func (h *handler) cors(w http.ResponseWriter, r *http.Request) {
	if len(h.o.CORSOrigins) == 0 {
		return
	}
	out := w.Header()
	out.Add("Vary", "Origin") // also when it does not match: a cache must tell them apart
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(h.o.CORSOrigins, origin) && !slices.Contains(h.o.CORSOrigins, "*") {
		return
	}
	out.Set("Access-Control-Allow-Origin", origin)
	switch r.Header.Get("Access-Control-Request-Method") {
	case http.MethodGet, http.MethodPost:
		if r.Method != http.MethodOptions {
			return
		}
		out.Set("Access-Control-Allow-Methods", "GET, POST")
		if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
			out.Set("Access-Control-Allow-Headers", wanted)
		}
	}
}
