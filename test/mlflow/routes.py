"""Prints the routes of MLflow's REST protocol, from the protocol files that its client carries."""

from mlflow.protos import databricks_pb2, mlflow_artifacts_pb2, model_registry_pb2, service_pb2, webhooks_pb2

routes = set()
for module in [service_pb2, model_registry_pb2, mlflow_artifacts_pb2, webhooks_pb2]:
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            for endpoint in method.GetOptions().Extensions[databricks_pb2.rpc].endpoints:
                routes.add((endpoint.path.lstrip("/"), endpoint.method))
for path, method in sorted(routes):
    print(method, path)
