package query

// RegisteredModels is the grammar of searching the registry's models.
var RegisteredModels = Grammar{
	Kinds:      map[string]Kind{"attribute": Attribute, "attributes": Attribute, "attr": Attribute, "tag": Tag, "tags": Tag},
	Attributes: map[string]bool{"name": false},
	Lists:      []string{"name"},
}

// RegisteredModelOrders is the grammar of their order.
var RegisteredModelOrders = Grammar{
	Kinds:      RegisteredModels.Kinds,
	Attributes: map[string]bool{"name": false, "last_updated_timestamp": true, "timestamp": true},
	Aliases:    map[string]string{"timestamp": "last_updated_timestamp"},
	Orders:     []Kind{Attribute},
}

// ModelVersions is the grammar of searching the versions of the registry's
// models.
var ModelVersions = Grammar{
	Kinds:      RegisteredModels.Kinds,
	Attributes: map[string]bool{"name": false, "run_id": false, "source_path": false, "version_number": true},
	Lists:      []string{"name", "run_id"},
}

// ModelVersionOrders is the grammar of their order.
var ModelVersionOrders = Grammar{
	Kinds: RegisteredModels.Kinds,
	Attributes: map[string]bool{
		"name": false, "version_number": true, "creation_timestamp": true, "last_updated_timestamp": true,
	},
	Orders: []Kind{Attribute},
}
