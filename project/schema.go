package project

import "encoding/json"

// Schema is a JSON Schema (draft 7) of ridgeline.yaml, with which editors
// complete and explain its keys. It accepts all that Parse accepts; what only
// several places together can get wrong, such as an unknown step, it does not see.
func Schema() []byte {
	top := object(m{
		"project": about("The project's name", ref("name")), "model": about("The model's name; default the project's", ref("name")),
		"python":   either("Which packages the project needs", text("The file that lists the packages"), pythonSchema()),
		"data":     m{"type": "object", "additionalProperties": ref("dataset"), "description": "What the steps read: a dataset's name and where it is"},
		"build":    about("What happens on every push", buildSchema()),
		"pipeline": about("What a green build publishes", pipelineSchema()),
		"release": about("How a promoted model is served", object(m{
			"score": text("Python file with init() and run(raw_data); without one the model answers by itself"), "request": one("How rows become a request; default data, without score dataframe_split", Requests...),
			"serve":        about("How it answers, in every environment", servingSchema()),
			"environments": m{"type": "object", "additionalProperties": ref("environment"), "description": "Where a promoted model answers, in this order"},
		})),
	}, "project", "python", "pipeline")
	top["$schema"], top["title"] = "http://json-schema.org/draft-07/schema#", "ridgeline.yaml"
	top["description"] = "What Ridgeline does with a project, from a commit to answering requests"
	top["patternProperties"] = m{"^x-": m{}}
	top["definitions"] = definitions()
	out, err := json.MarshalIndent(top, "", " ")
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	return append(out, '\n')
}

type m = map[string]any

func object(properties m, required ...string) m {
	o := m{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// about puts a description beside what may be a reference, whose neighbours
// draft 7 ignores.
func about(description string, schema m) m {
	return m{"description": description, "allOf": []m{schema}}
}

func either(description string, schemas ...m) m {
	return m{"description": description, "anyOf": schemas}
}

// listOf is a list, or its only item.
func listOf(description string, item m) m {
	return either(description, item, m{"type": "array", "items": item})
}

func mapOf(item m) m                { return m{"type": "object", "additionalProperties": item} }
func ref(name string) m             { return m{"$ref": "#/definitions/" + name} }
func text(description string) m     { return m{"type": "string", "description": description} }
func truth(description string) m    { return m{"type": "boolean", "description": description} }
func num(description string) m      { return m{"type": "number", "description": description} }
func whole(low, high int) m         { return m{"type": "integer", "minimum": low, "maximum": high} }
func texts(description string) m    { return listOf(description, m{"type": "string"}) }
func duration(description string) m { return about(description, ref("duration")) }

func one(description string, words ...string) m {
	return m{"enum": words, "description": description}
}

func pythonSchema() m {
	return object(m{
		"file": text("requirements.txt, pyproject.toml, uv.lock, poetry.lock, conda.yaml…"), "version": text("Of Python, such as 3.11 (in quotes) or >=3.11,<3.13"),
		"constraints": texts("Files of pins"), "groups": texts("Of pyproject.toml's dependency-groups"), "extras": texts("Of pyproject.toml's optional-dependencies"),
		"indexes": listOf("Where packages come from, in this order", object(m{
			"name": text("By which the server knows its credentials"), "url": text("Without credentials"), "default": truth("Instead of the server's own"),
		}, "name", "url")),
	}, "file")
}

func buildSchema() m {
	return object(m{
		"quality": about("Code quality", ref("tasks")), "tests": about("Tests", ref("tests")), "data": about("Tests of the data", ref("tasks")),
		"coverage": about("Least percent of covered lines, such as 80", ref("share")), "timeout": duration("Of each task that has none of its own; default 30m"),
		"fail": one("fast: the first red task stops the others; default all", "all", "fast"), "publish": texts("Patterns of branches whose green builds publish; default main and master"),
		"nightly": either("Long tests, off hours, against the last green commit", ref("tests"),
			object(m{"schedule": ref("cron"), "zone": ref("zone"), "tasks": ref("tests")}, "tasks")),
	})
}

func pipelineSchema() m {
	return object(m{
		"on": about("What starts it, beside the API and the command line", object(m{
			"push": truth("After a green build; default true"), "schedule": listOf("By the clock", ref("schedule")),
			"data": texts("Datasets whose accepted new versions start it"), "events": listOf("CloudEvents that start it", ref("event")),
		})),
		"overlap": one("What happens to a run that is asked for while another has not ended; default queue", OverlapQueue, OverlapCoalesce, OverlapReject),
		"compute": ref("pool"),
		"params":  m{"type": "object", "additionalProperties": ref("param"), "description": "Values that a run can be given: a name and its default, or more"},
		"steps":   m{"type": "object", "additionalProperties": ref("step"), "minProperties": 1, "description": "Commands by name; train makes the model"},
		"gate":    about("When a new model takes over", ref("gate")),
	}, "steps")
}

func definitions() m {
	task := m{"run": ref("command"), "timeout": duration("Default build.timeout; 0 for none"), "needs": texts("Tasks that have to be green first")}
	test := m{
		"run": task["run"], "timeout": task["timeout"], "needs": task["needs"],
		"junit": text("Where its JUnit report is; default where the command says, else junit.xml"), "coverage": text("Where its Cobertura report is; default where the command says, else coverage.xml"),
	}
	return m{
		"name":     m{"type": "string", "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "minLength": 2, "maxLength": 40},
		"duration": either("A time span such as 90s, 30m, 2h or 1d12h; 0 for none", m{"const": 0}, m{"type": "string"}),
		"size":     m{"type": []string{"string", "number"}, "description": "Such as 50MB (10^6), 1GiB (2^30), or a number of bytes"},
		"share":    m{"type": []string{"number", "string"}, "description": "Such as 0.2 or 20%"},
		"amount":   m{"type": []string{"number", "string"}, "description": "1% of the champion's value, or a number in the metric's own unit"},
		"value":    m{"type": []string{"string", "number", "boolean"}, "description": "The value of a parameter"},
		"values":   mapOf(ref("value")),
		"command":  m{"type": "string", "description": "A shell command", "minLength": 1},
		"zone":     m{"type": "string", "description": "A time zone's IANA name; default UTC", "examples": []string{"Europe/Berlin"}},
		"cron":     m{"type": "string", "description": "Minute, hour, day of the month, month, day of the week", "examples": []string{"0 3 * * 1"}},
		"pool":     about("Where it computes: local, or a pool of the server's configuration", ref("name")),
		"better":   one("Which way the metric improves; default by its name", "lower", "higher"),
		"axis":     m{"type": "array", "items": ref("value"), "minItems": 1},
		"axes":     m{"type": "object", "additionalProperties": ref("axis"), "minProperties": 1},

		"task":  either("A command, or a command and more", ref("command"), object(task, "run")),
		"test":  either("A command, or a command and more", ref("command"), object(test, "run")),
		"tasks": either("One command, or tasks by name", ref("command"), mapOf(ref("task"))),
		"tests": either("One command, or tasks by name", ref("command"), mapOf(ref("test"))),

		"dataset": either("Where it is, or more", text("Where it is"), object(m{
			"path":   text("A file, folder or pattern of the project, or with / in front of the server's machine; or an address: http(s)://, s3://, azblob://, gs://"),
			"target": text("The column that a model predicts"), "checks": text("File with the data checks"), "watch": duration("How often a source outside of the project is looked at for new data"),
			"holdout": about("The rows that judge", object(m{"fraction": about("Of the rows; default 0.2", ref("share")), "key": texts("Columns that decide a row's side; default all")})),
		}, "path")),
		"param": either("Its default, or more", ref("value"), object(m{
			"type": one("Default: the type of the default", ParamString, ParamInt, ParamFloat, ParamBool), "default": about("Without one, every run has to give a value", ref("value")),
			"choices": listOf("What may be chosen", ref("value")), "min": num("Of an int or a float"), "max": num("Of an int or a float"), "description": text("What it does"),
		})),
		"schedule": either("When it is due", ref("cron"), object(m{
			"cron": ref("cron"), "zone": ref("zone"), "params": ref("values"),
			"missed": one("Due times that passed while no server ran: no run, one for all, or one for each; default once", MissedSkip, MissedOnce, MissedAll),
		}, "cron")),
		"event": either("Its type, or more", text("A pattern of the type"), object(m{"type": text("A pattern of the type"), "source": text("A pattern of the source"), "params": ref("values")})),
		"step":  either("A command, or a command and more", ref("command"), stepSchema()),
		"sweep": sweepSchema(),
		"range": either("Values, or a number between low and high", ref("axis"), object(m{
			"low": num("The least"), "high": num("The greatest"), "log": truth("Uniform in the logarithm"), "int": truth("Whole numbers"),
		}, "low", "high")),
		"gate": gateSchema(),
		"environment": either("How the model answers there", m{"type": "null"}, object(m{
			"host": one("Where it runs; default process", Hosts...), "checks": texts("Smoke tests"), "approval": one("required: waits for ridgeline approve", "none", "required"),
			"limit": about("Bounds of the endpoint's requests", object(m{"concurrent": whole(1, maxConcurrent), "timeout_ms": whole(1, maxTimeout)})),
			"cpu":   num("Cores of each copy; default no limit"), "memory": about("Of each copy; default no limit", ref("size")),
			"replicas": either("Copies", whole(1, maxReplicas), object(m{
				"min": whole(0, maxReplicas), "max": whole(1, maxReplicas), "idle": duration("With min 0, or outside the hours: so long after the last request the last copy goes; default 15m"),
				"hours":     text("When min copies stay, such as mon-fri 07:00-19:00 Europe/Berlin; otherwise they go after idle. Default always"),
				"in_flight": about("Requests that each copy should have under way or waiting: copies are added while there are more; default by CPU, on host kube", whole(1, maxConcurrent)),
			})),
		})),
	}
}

func stepSchema() m {
	return object(m{
		"run": ref("command"), "needs": texts("Steps that come first; default the step before it in the file; [] for none"),
		"in": about("What it sees, so that fewer changes make it run again; default everything",
			object(m{"code": texts("Patterns of files"), "data": texts("Datasets"), "params": texts("Parameters")})),
		"out": texts("Files and folders that it has to leave in $RIDGELINE_OUT"), "when": text(`A condition such as: params.full or cause startsWith "schedule"`),
		"matrix": about("One instance for each combination; all go on", ref("axes")), "sweep": about("One instance for each try; the best goes on", ref("sweep")),
		"retries": either("Attempts after the first, or more", whole(0, 100), object(m{
			"count": whole(0, 100), "backoff": duration("Before the second attempt, doubled for each further one"), "longest": duration("That a wait may become; default 10m"),
			"on": listOf("What is tried again; default every failure", either("An exit code, or a reason", whole(1, 255), m{"enum": []string{"timeout", "memory", "lost"}})),
		}, "count")),
		"timeout": duration("Of one attempt; default 2h"), "cache": truth("Take what the same step once made of the same inputs; default true"), "compute": ref("pool"),
		"cpu": num("Cores; default no limit"), "memory": about("Default no limit", ref("size")), "gpu": about("Whole devices; default none", whole(0, 64)),
	}, "run")
}

func sweepSchema() m {
	s := object(m{
		"grid":   about("Every combination", ref("axes")),
		"random": m{"type": "object", "additionalProperties": ref("range"), "minProperties": 1, "description": "Count tries, drawn at random"},
		"count":  whole(1, MaxInstances), "seed": whole(0, 1<<31-1), "parallel": about("Instances at once; default as many as the host takes", whole(1, MaxInstances)),
		"metric": text("By which the best try goes on"), "better": ref("better"),
	}, "metric")
	s["oneOf"] = []m{{"required": []string{"grid"}}, {"required": []string{"random", "count"}}}
	return s
}

func gateSchema() m {
	return object(m{
		"metric": text("What decides, such as mse or accuracy"), "better": ref("better"), "min_effect": about("The least improvement worth a new model; default 1%", ref("amount")),
		"alpha": about("The error budget; default 0.05", ref("share")), "slices": texts("A challenger that got worse in a slice of these columns is rejected"),
		"tolerance": either("How much worse a slice may get", ref("amount"), mapOf(ref("amount"))),
		"baseline":  either("What a first model has to beat; default computed", one("Computed, or nothing", "computed", "none"), num("A value of the metric")),
		"budget":    object(m{"decisions": about("Challengers that share the error budget; default 20", whole(1, 10000)), "fresh": about("Of new rows that starts a new budget; default 0.5", ref("share"))}),
		"limits": object(m{
			"p95_ms": num("Of one-row requests"), "size": about("Of the model's files", ref("size")), "prediction": object(m{"min": num("The lowest"), "max": num("The highest")}),
			"missing": about("Of rows without a prediction", ref("share")), "same_features": truth("The champion's columns, by name and type"),
			"gaps": m{"type": "object", "additionalProperties": ref("amount"), "description": "The largest difference between the slices of a column"},
		}),
	}, "metric")
}
