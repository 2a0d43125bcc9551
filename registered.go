package ridgeline

import "time"

// An Origin says how a model version came to be registered.
type Origin string

// The origins.
const (
	ByPipeline Origin = "pipeline" // a run made it
	ByHand     Origin = "manual"   // a person or a script registered it, such as with mlflow.register_model
)

// The aliases that the gate keeps for a model that belongs to a project: what
// was promoted last, and the newest version that came to the gate after it.
const (
	AliasChampion   = "champion"
	AliasChallenger = "challenger"
)

// A RegisteredModel is a model by its name, with what people say of it.
type RegisteredModel struct {
	Name        ModelName
	Project     ProjectName // whose gate and environments it is for; empty: nobody's
	Description string
	Tags        map[string]string
	Aliases     map[string]int // to version
	Created     time.Time
	Updated     time.Time
}

// KeepsAlias refuses an alias that the gate keeps.
func (m RegisteredModel) KeepsAlias(alias string) error {
	if m.Project == "" || alias != AliasChampion && alias != AliasChallenger {
		return nil
	}
	return Errorf(Denied, "alias %q of model %s is kept by the gate of project %s: send a version there with `ridgeline release %s:VERSION`, "+
		"or make it the champion whatever the gate says with `ridgeline promote %s:VERSION --reason …`", alias, m.Name, m.Project, m.Name, m.Name)
}

// A Registration is what is said of a version beside what its making tells.
type Registration struct {
	By          string // who registered it by hand
	URI         string // where its registrar says that its folder is
	Folder      string // where its files are among the artifacts; empty: they have not been needed there yet, or are not here
	TrackingRun string // the MLflow run that made it
	RunLink     string
	LoggedModel string // MLflow's id of the model it was registered from
	Description string
	Stage       string // MLflow's, a label that moves nothing; empty: none
	Updated     time.Time
	Lock        string // of a manual version's environment, and its Python; empty until it is judged
	Python      string
	Tags        map[string]string // only where they are asked for, as are the aliases
	Aliases     []string
}
