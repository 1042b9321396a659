//! Pods in any number, that look like those of a real cluster.

use serde_json::{Value as Json, json};

/// A running pod of a deployment with 20 replicas, two containers and three ports; about 5 kB of JSON, as the API server
/// sends them, managed fields included. The same `i` gives the same pod.
#[must_use]
pub fn synthetic_pod(i: usize) -> Json {
    let app = i / 20;
    let (team, node) = (app % 40, i % 500);
    let hash = format!("{:010x}", app.wrapping_mul(0x9e37_79b9) % 0xff_ffff_ffff);
    let name = format!("service-{app}-{hash}-{i:05x}");
    let uid = format!("{:08x}-0000-4000-8000-{i:012x}", i.wrapping_mul(0x0101_0101) % 0xffff_ffff);
    let ip = format!("10.{}.{}.{}", 16 + i / 65_536, i / 256 % 256, i % 256);
    let host = format!("172.16.{}.{}", node / 256, node % 256);
    let managed = json!({
        "f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}, "f:prometheus.io/port": {}, "f:prometheus.io/scrape": {}},
            "f:generateName": {}, "f:labels": {".": {}, "f:app.kubernetes.io/component": {}, "f:app.kubernetes.io/instance": {},
            "f:app.kubernetes.io/name": {}, "f:pod-template-hash": {}, "f:team": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"main\"}": {".": {}, "f:env": {}, "f:image": {}, "f:livenessProbe": {}, "f:ports": {},
            "f:readinessProbe": {}, "f:resources": {}, "f:volumeMounts": {}}}, "f:dnsPolicy": {}, "f:restartPolicy": {}},
    });
    let environment: Vec<Json> = (0..12)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("a value of some length, {n}")}))
        .collect();
    let container = |name: &str, ports: Json| {
        json!({"name": name, "image": format!("registry.example/team-{team}/{name}:v1.{}.{}", app % 30, app % 7),
            "ports": ports, "env": environment, "imagePullPolicy": "IfNotPresent",
            "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token", "readOnly": true}]})
    };
    let run = |name: &str| {
        json!({"name": name, "containerID": format!("containerd://{i:032x}{:032x}", name.len()), "ready": true, "restartCount": 0,
            "image": "x", "imageID": "y", "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}}})
    };
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-11-20T10:00:00Z"});
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": format!("team-{team}"), "uid": uid, "resourceVersion": "5",
            "generateName": format!("service-{app}-{hash}-"), "creationTimestamp": "2026-11-20T09:59:00Z",
            "labels": {"app.kubernetes.io/name": format!("service-{app}"), "app.kubernetes.io/instance": format!("service-{app}"),
                "app.kubernetes.io/component": "backend", "team": format!("team-{team}"), "pod-template-hash": hash,
                "topology.kubernetes.io/zone": format!("eu-1{}", ["a", "b", "c"][node % 3]), "topology.kubernetes.io/region": "eu-1"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080",
                "checksum/config": format!("{app:064x}"), "cni.projectcalico.org/containerID": format!("{i:064x}"),
                "cni.projectcalico.org/podIP": format!("{ip}/32")},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("service-{app}-{hash}"),
                "uid": uid, "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": managed}],
        },
        "spec": {
            "nodeName": format!("node-{node}.eu-1.compute.internal"),
            "containers": [
                container("main", json!([{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "grpc", "containerPort": 9090, "protocol": "TCP"}])),
                container("proxy", json!([{"name": "admin", "containerPort": 15_090, "protocol": "TCP"}])),
            ],
            "serviceAccountName": "default", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "tolerations": [{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
        },
        "status": {
            "phase": "Running", "podIP": ip, "hostIP": host, "podIPs": [{"ip": ip}],
            "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [run("main"), run("proxy")],
        },
    })
}
