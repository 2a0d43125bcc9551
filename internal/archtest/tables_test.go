package archtest

// anything marks a folder that may import every package of ours: only there
// do concrete types meet.
var anything = []string{"*"}

// arrows says which packages of ours each package imports, test files aside.
// Everything may import the root package and internal/*, which therefore do
// not appear; internal/* and the root import nothing of ours. Keys and values
// are folders, values in alphabetical order.
//
// A new arrow is a decision: look whether an interface on the caller's side
// does it, before adding a line.
var arrows = map[string][]string{
	"":                  {},
	"api":               {"auth", "bill", "blob", "blob/archive", "build", "data", "forge", "gate", "gc", "intake", "pipeline", "prediction", "release", "storage", "store", "trigger"},
	"auth":              {},
	"bench":             {},
	"bench/data":        {"bench"},
	"bench/loop":        {"bench"},
	"bench/pages":       {"bench", "store", "test/browser", "track", "ui/assets"},
	"bench/scoring":     {"bench"},
	"bench/tracking":    {"bench"},
	"bill":              {"project", "store"},
	"blob":              {"blob/archive"},
	"blob/archive":      {},
	"build":             {"blob", "data", "flow", "gate", "host", "intake", "project", "pyenv", "store"},
	"cmd/ridgeline":     anything,
	"cmd/scorer":        {"gateway/outpost", "host/courier", "mlflow/spool", "score/parquet", "score/serve", "worker"},
	"cmd/spool":         {"mlflow/spool"},
	"cmd/supervisor":    {"host/process"},
	"data":              {},
	"flow":              {},
	"forge":             {"auth", "blob", "build", "git", "store", "trigger", "vault"},
	"gate":              {},
	"gateway":           {"auth", "host"},
	"gateway/outpost":   {"auth", "gateway", "host"},
	"gc":                {"blob", "track"},
	"git":               {"auth", "blob", "build", "project", "store"},
	"host":              {},
	"host/courier":      {"blob/archive", "host", "host/process"},
	"host/hosttest":     {"host"},
	"host/kube":         {"host", "host/courier"},
	"host/process":      {"host"},
	"image":             {},
	"intake":            {"blob", "data", "flow", "project", "store"},
	"internal/archtest": {},

	"internal/cloudtest": {},

	"internal/tracing/tracingtest": {},

	"internal/kubetest": {},
	"internal/pgtest":   {},
	"internal/runctest": {},
	"internal/sqlq":     {},
	"internal/sqltest":  {},
	"internal/tracing":  {},
	"internal/unread":   {},
	"internal/words":    {},
	"mlflow":            {"auth", "mlflow/spool", "store", "track", "track/query"},
	"mlflow/migrate":    {},
	"mlflow/spool":      {},
	"pipeline":          {"blob", "data", "flow", "gate", "host", "host/courier", "image", "intake", "project", "pyenv", "python", "score/tensor", "store"},
	"prediction":        {"blob", "data", "score/journal"},
	"project":           {},
	"pyenv":             {},
	"python":            {},
	"registry":          {"blob"},
	"release":           {"blob", "flow", "host", "project", "store"},
	"score":             {"score/exchange", "score/tensor", "worker"},
	"score/azureml":     {"score/exchange", "score/tensor", "worker"},
	"score/exchange":    {"score/tensor"},
	"score/journal":     {"score/exchange", "score/tensor"},
	"score/oip":         {"score/exchange", "score/tensor", "worker"},
	"score/parquet":     {"score/tensor"},
	"score/plain":       {},
	"score/pyfunc":      {"score/exchange", "score/parquet", "score/tensor", "worker"},
	"score/serve":       {"score", "score/azureml", "score/exchange", "score/journal", "score/oip", "score/plain", "score/pyfunc", "worker"},
	"score/tensor":      {},
	"scope":             {"auth"},
	"server":            {"api", "auth", "gateway", "scope"},
	"storage":           {"blob", "track"},
	"store":             {"store/sqldb", "track/query"},
	"store/sqldb":       {},
	"store/storetest":   {"store"},

	"test/browser":      {},
	"test/browser/shot": {"test/browser"},

	"test/conformance/harness": {},

	"test/kube/scorer": {"host/hosttest"},

	"track":       {"store/sqldb", "track/query"},
	"track/query": {},
	"trigger":     {"pipeline", "project", "store", "vault"},
	"ui":          {"auth", "bill", "blob", "build", "data", "forge", "gate", "intake", "pipeline", "project", "release", "scope", "storage", "store", "track", "trigger", "ui/assets", "ui/components"},

	"ui/assets":     {},
	"ui/components": {},

	"vault":  {},
	"worker": {"python", "score/tensor"},
}

// everywhere marks a library that is light enough to need no door.
var everywhere = []string{"*"}

// doors says which folders import which library, test files aside. A key is
// an import path prefix; the longest one that fits an import counts. Every
// import from outside the standard library needs a line, so that a new
// dependency is seen here (and in docs/dependencies.md) before it spreads.
var doors = map[string][]string{
	"connectrpc.com/connect":                   {"score/oip"},
	"database/sql":                             {"data", "flow", "mlflow/migrate", "store", "store/sqldb", "track"},
	"github.com/BurntSushi/toml":               {"pyenv"},
	"github.com/bmatcuk/doublestar":            {"blob", "project"},
	"github.com/Azure/azure-sdk-for-go":        {"blob", "internal/cloudtest"},
	"github.com/aws/aws-sdk-go-v2":             {"blob", "internal/cloudtest"},
	"github.com/aws/smithy-go":                 {"blob"},
	"github.com/chromedp":                      {"test/browser"},
	"github.com/danielgtaylor/huma/v2":         {"api"},
	"github.com/dbos-inc/dbos-transact-golang": {"flow"},
	"github.com/distribution/distribution/v3":  {"registry"},
	"github.com/duckdb/duckdb-go":              {"data"},
	"github.com/expr-lang/expr":                {"project"},
	"github.com/google/go-containerregistry":   {"image"},
	"github.com/jackc/pgx/v5":                  {"flow", "internal/pgtest", "store", "store/sqldb"},
	"github.com/klauspost/compress":            {"image"},
	"github.com/netresearch/go-cron":           {"project"},
	"github.com/parquet-go/parquet-go":         {"score/journal", "score/parquet"},
	"github.com/prometheus/client_golang":      {"gateway", "gateway/outpost", "score/serve", "server"},
	"github.com/prometheus/client_model":       {"gateway", "release"},
	"github.com/prometheus/common":             {"release"},
	"github.com/prometheus/procfs":             {"score/serve"},
	"github.com/rogpeppe/go-internal":          {"ui/components"},
	"github.com/sirupsen/logrus":               {"registry"},
	"github.com/spf13/cobra":                   {"cmd/ridgeline"},
	"github.com/standard-webhooks":             {"trigger"},
	"go.yaml.in/yaml":                          {"data", "mlflow/migrate", "project", "pyenv"},
	"github.com/valyala/fastjson":              {"mlflow"},
	"go.opentelemetry.io/otel":                 {"internal/tracing"},
	"go.opentelemetry.io/proto/otlp":           {"internal/tracing/tracingtest"},
	"gocloud.dev":                              {"blob"},
	"golang.org/x/net":                         {"score/plain"},
	"golang.org/x/sys":                         everywhere,
	"golang.org/x/term":                        {"cmd/ridgeline"},
	"google.golang.org/protobuf":               {"internal/tracing", "internal/tracing/tracingtest", "score/oip"},
	"gonum.org/v1/gonum":                       {"gate"},
	"k8s.io":                                   {"host/kube"},
	"modernc.org/sqlite":                       {"mlflow/migrate", "store/sqldb"},
}
