package kube

import (
	"context"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/ridgeline-mlops/ridgeline"
)

// A view is what is known of all this server's objects of one kind. A watch
// keeps it: one that breaks off, or is told that it is too old (410 Gone),
// lists again. While the API server is away the view stands still.
type view[T any] struct {
	informer cache.SharedIndexInformer

	mu      sync.Mutex
	changed chan struct{} // closed at the next change
	wrong   error         // why there is no view yet
}

// firstList bounds how long a caller waits for a view's first list.
const firstList = 10 * time.Second

// watched returns the view of a kind. The first caller has it started.
func watched[T any](ctx context.Context, c *Cluster) (*view[T], error) {
	c.mu.Lock()
	key := reflect.TypeFor[T]()
	v, ok := c.views[key].(*view[T])
	if !ok {
		v = newView[T](c)
		c.views[key] = v
		go v.informer.Run(c.ctx.Done())
	}
	c.mu.Unlock()
	if v.informer.HasSynced() {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	for !v.informer.HasSynced() {
		select {
		case <-ctx.Done():
			return nil, v.failure(ctx.Err(), c)
		case <-c.ctx.Done():
			return nil, ridgeline.Errorf(ridgeline.Unavailable, "this server is stopping")
		case <-time.After(10 * time.Millisecond):
		}
		err := v.failure(nil, c)
		switch code := ridgeline.CodeOf(err); {
		case code == ridgeline.Denied, code == ridgeline.Invalid, code == ridgeline.NotFound, apierrors.IsUnauthorized(err): // waiting changes nothing
			return nil, err
		}
	}
	return v, nil
}

// failure is why a view could not be had in time.
func (v *view[T]) failure(late error, c *Cluster) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, title := kindOf[T]()
	if v.wrong != nil {
		return classify(v.wrong, "watch", k.plural+" in namespace", c.namespace)
	}
	return classify(late, "watch", title, "in namespace "+c.namespace)
}

func newView[T any](c *Cluster) *view[T] {
	k, _ := kindOf[T]()
	client := c.clients[k.version]
	ours := labels.SelectorFromSet(labels.Set{ManagerLabel: manager, ServerLabel: c.opt.Server}).String()
	all := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = ours
			return client.Get().Namespace(c.namespace).Resource(k.plural).VersionedParams(&o, metav1.ParameterCodec).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector, o.Watch = ours, true
			return client.Get().Namespace(c.namespace).Resource(k.plural).VersionedParams(&o, metav1.ParameterCodec).Watch(ctx)
		},
	}, listsOnly{})
	v := &view[T]{changed: make(chan struct{})}
	v.informer = cache.NewSharedIndexInformer(all, any(new(T)).(runtime.Object), 0, cache.Indexers{})
	_ = v.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		v.mu.Lock()
		v.wrong = err
		v.mu.Unlock()
		c.log.DebugContext(ctx, "a watch of the cluster broke off and begins again", "kind", k.plural, "error", err)
	})
	_, _ = v.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { v.tell() }, UpdateFunc: func(any, any) { v.tell() }, DeleteFunc: func(any) { v.tell() },
	})
	return v
}

// listsOnly says that the client lists before it watches.
type listsOnly struct{}

func (listsOnly) IsWatchListSemanticsUnSupported() bool { return true }

func (v *view[T]) tell() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.changed)
	v.changed = make(chan struct{})
}

// next is closed at the next change of any object in the view. Ask for it
// before looking.
func (v *view[T]) next() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// one returns the object of that name. It must not be changed.
func (v *view[T]) one(namespace, name string) (*T, bool) {
	o, ok, err := v.informer.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil, false
	}
	return o.(*T), true
}

// where lists the objects with a label. They must not be changed.
func (v *view[T]) where(key, value string) (out []*T) {
	for _, o := range v.informer.GetStore().List() {
		if m, ok := o.(metav1.Object); ok && m.GetLabels()[key] == value {
			out = append(out, o.(*T))
		}
	}
	return out
}

// labelled lists the values that objects have of a label, each once.
func (v *view[T]) labelled(key string) (out []string) {
	seen := map[string]bool{}
	for _, o := range v.informer.GetStore().List() {
		if m, ok := o.(metav1.Object); ok && m.GetLabels()[key] != "" && !seen[m.GetLabels()[key]] {
			seen[m.GetLabels()[key]] = true
			out = append(out, m.GetLabels()[key])
		}
	}
	return out
}
