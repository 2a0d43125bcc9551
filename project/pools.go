package project

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ridgeline-mlops/ridgeline"
)

// The pools that need no settings: this machine, and any node of the cluster.
const (
	PoolLocal = "local"
	PoolKube  = "kube"
)

// A Pool is a part of the cluster that steps can name under compute.
type Pool struct {
	Name          string
	CPU           float64 // cores, of a step that asks for none
	Memory        int64   // bytes
	GPU           int     // devices
	NodeSelector  map[string]string
	Tolerations   []Toleration
	Spot          bool   // its nodes may be taken away
	PriorityClass string // of its pods
	Queue         string // of Kueue
}

// A Toleration lets steps onto nodes that a taint keeps others away from.
type Toleration struct{ Key, Value, Effect string }

// Prices are what computing costs. The zero value is: nobody said.
type Prices struct {
	Currency string
	OnDemand Price
	Spot     Price
	Pools    map[string]Price // of pools with prices of their own, whatever their kind
}

// A Price is per hour.
type Price struct {
	CPU    float64 // of a core
	Memory float64 // of a GiB
	GPU    float64 // of a device
}

// Of is the price in a pool.
func (p Prices) Of(pool string, spot bool) Price {
	if own, ok := p.Pools[pool]; ok {
		return own
	}
	if spot {
		return p.Spot
	}
	return p.OnDemand
}

// Known says whether there are prices at all.
func (p Prices) Known() bool { return p.Currency != "" }

// Cost is what so many seconds cost; memory is in bytes times seconds.
func (p Price) Cost(cpu, memory, gpu float64) float64 {
	return (cpu*p.CPU + memory/(1<<30)*p.Memory + gpu*p.GPU) / 3600
}

func (r *reader) pools(n *yaml.Node, cluster bool) (list []Pool) {
	if n == nil {
		return nil
	}
	if !cluster {
		r.at(n, "pools: they are parts of a cluster: add kubernetes: to say which")
	}
	for _, e := range r.entries(n, "pools", "a map from a pool's name to its nodes, such as `gpu: {gpu: 1, priority: spot}`") {
		p := Pool{Name: e.name}
		what := "pools." + e.name
		if ridgeline.CheckName("pool", e.name) != nil {
			r.at(e.key, "pools: %q is no name of a pool: use lower case letters, digits and dashes", clip(e.name, 60))
			continue
		}
		if e.name == PoolLocal {
			r.at(e.key, "pools: local is the server's own machine: give this pool another name")
		}
		if isNull(e.value) {
			list = append(list, p)
			continue
		}
		f := r.section(e.value, what, "cpu", "memory", "gpu", "node_selector", "tolerations", "priority", "priority_class", "queue")
		p.CPU = r.number(f.value("cpu"), what+".cpu", 0, 0, 1024)
		p.Memory = r.size(f.value("memory"), what+".memory")
		p.GPU = r.whole(f.value("gpu"), what+".gpu", 0, 0, 64)
		p.NodeSelector = r.labels(f.value("node_selector"), what+".node_selector")
		for _, one := range r.items(f.value("tolerations")) {
			t := r.section(one, what+".tolerations", "key", "value", "effect")
			p.Tolerations = append(p.Tolerations, Toleration{
				Key: r.text(t.value("key"), what+".tolerations.key", "nvidia.com/gpu"), Value: r.text(t.value("value"), what+".tolerations.value", "present"),
				Effect: r.word(t.value("effect"), what+".tolerations.effect", "", "NoSchedule", "NoExecute", "PreferNoSchedule"),
			})
		}
		p.Spot = r.word(f.value("priority"), what+".priority", "on-demand", "on-demand", "spot") == "spot"
		p.PriorityClass = r.text(f.value("priority_class"), what+".priority_class", "low")
		p.Queue = r.text(f.value("queue"), what+".queue", "training")
		list = append(list, p)
	}
	return list
}

func (r *reader) labels(n *yaml.Node, what string) map[string]string {
	if n == nil {
		return nil
	}
	out := map[string]string{}
	for _, e := range r.entries(n, what, "a map of labels, such as `pool: gpu`") {
		out[e.name] = e.value.Value
		if e.value.Kind != yaml.ScalarNode {
			r.at(e.value, "%s.%s: expected a text, got %s", what, clip(e.name, 60), found(e.value))
		}
	}
	return out
}

func (r *reader) prices(n *yaml.Node) Prices {
	var p Prices
	if n == nil {
		return p
	}
	f := r.section(n, "prices", "currency", "on_demand", "spot", "pools")
	p.Currency = strings.ToUpper(r.text(f.value("currency"), "prices.currency", "EUR"))
	if p.Currency == "" {
		p.Currency = "USD"
	}
	p.OnDemand = r.price(f.value("on_demand"), "prices.on_demand")
	p.Spot = p.OnDemand
	if f.has("spot") {
		p.Spot = r.price(f.value("spot"), "prices.spot")
	}
	if pools := f.value("pools"); pools != nil {
		p.Pools = map[string]Price{}
		for _, e := range r.entries(pools, "prices.pools", "a map from a pool's name to its prices, such as `local: {cpu: 0.01}`") {
			p.Pools[e.name] = r.price(e.value, "prices.pools."+e.name)
		}
	}
	return p
}

func (r *reader) price(n *yaml.Node, what string) Price {
	if n == nil {
		return Price{}
	}
	f := r.section(n, what, "cpu", "memory", "gpu")
	const most = 1e6
	return Price{
		CPU: r.number(f.value("cpu"), what+".cpu", 0, 0, most), Memory: r.number(f.value("memory"), what+".memory", 0, 0, most),
		GPU: r.number(f.value("gpu"), what+".gpu", 0, 0, most),
	}
}
