//! The scrape configurations of clusters that people copy, from discovery to stored samples. The objects' addresses are stubs on
//! this machine; `https` is a front that ends TLS with a certificate which the configuration trusts by its `ca_file`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use testkit::api_server::ApiServer;

use crate::http;
use crate::site::{Program, Site, is_peer};
use crate::stub::{Answer, Stub};
use crate::tls::TlsFront;

/// A site that finds the API server by a kubeconfig, and its CA and token where a pod has them.
fn site(server: &ApiServer, config: &str) -> Site {
    let site = Site::server(config);
    let kubeconfig = crate::kubernetes::KUBECONFIG.replace("@SERVER@", &server.url());
    // Prometheus' client sends no token without TLS.
    server.conduct(|conduct| conduct.token = (!is_peer()).then(|| "t0ken".into()));
    site.write("kubeconfig", &kubeconfig);
    site.write("token", "t0ken\n");
    site
}

fn cluster(objects: &[(&str, Value)]) -> ApiServer {
    let server = ApiServer::start().unwrap();
    for (resource, kind) in [
        ("nodes", "NodeList"),
        ("pods", "PodList"),
        ("services", "ServiceList"),
        ("endpoints", "EndpointsList"),
        ("namespaces", "NamespaceList"),
    ] {
        let items: Vec<&Value> = objects.iter().filter(|(of, _)| *of == resource).map(|(_, o)| o).collect();
        let list =
            json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": items});
        server.load(&format!("/api/v1/{resource}"), &list.to_string());
    }
    server
}

fn endpoints(namespace: &str, name: &str, port_name: &str, port: u16) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name},
        "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": port_name, "port": port, "protocol": "TCP"}]}]})
}

fn service(namespace: &str, name: &str, annotations: &Value) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "labels": {"app": name}, "annotations": annotations},
        "spec": {"type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})
}

fn pod(name: &str, ip: &str, phase: &str, ports: &[u16], annotations: &Value) -> Value {
    let ports: Vec<Value> =
        ports.iter().map(|port| json!({"containerPort": port, "protocol": "TCP"})).collect();
    json!({"metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app.kubernetes.io/name": "web"}, "annotations": annotations},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "i", "ports": ports}]},
        "status": {"podIP": ip, "hostIP": "10.0.0.1", "phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn node(name: &str, ip: &str, port: u16) -> Value {
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": "a"}},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
}

fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Waits until the expression gives exactly these label sets.
fn wait_for_labels(program: &Program<'_>, expression: &str, want: &[&[(&str, &str)]]) {
    let own =
        |pairs: &&[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut want: Vec<crate::site::Labels> = want.iter().map(own).collect();
    want.sort();
    program.wait_for(&format!("{expression} to be {want:?}"), |p| {
        let mut found: Vec<_> = p.query(expression).into_iter().map(|(labels, _)| labels).collect();
        found.sort();
        (found == want).then_some(())
    });
}

#[test]
fn api_servers_are_scraped_through_their_endpoints() {
    let stub = Stub::serving("apiserver_request_total{verb=\"GET\"} 3\n");
    let front = TlsFront::before(&stub.address);
    let port = port_of(&front.address);
    let server = cluster(&[
        ("services", service("default", "kubernetes", &json!({}))),
        ("endpoints", endpoints("default", "kubernetes", "https", port)),
        ("services", service("default", "other", &json!({}))),
        ("endpoints", endpoints("default", "other", "https", 1)),
        ("endpoints", endpoints("shop", "kubernetes", "https", 1)),
    ]);
    let site = site(&server, "
global: {scrape_interval: 300ms}
scrape_configs:
- job_name: kubernetes-apiservers
  kubernetes_sd_configs: [{role: endpoints, kubeconfig_file: kubeconfig}]
  scheme: https
  tls_config: {ca_file: ca.crt, server_name: localhost}
  bearer_token_file: token
  relabel_configs:
  - source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_service_name, __meta_kubernetes_endpoint_port_name]
    action: keep
    regex: default;kubernetes;https
");
    site.write("ca.crt", &front.certificate);
    let program = site.start();
    let instance = format!("127.0.0.1:{port}");
    let labels = [("job", "kubernetes-apiservers"), ("instance", instance.as_str())];
    let series = [("__name__", "apiserver_request_total"), ("verb", "GET"), labels[0], labels[1]];
    wait_for_labels(&program, "apiserver_request_total == 3", &[&series]);
    assert_eq!(stub.seen("/metrics")[0].headers["authorization"], "Bearer t0ken");

    // A token that is rotated is read again.
    site.write("token", "n3w\n");
    program.wait_for("the new token", |_| {
        (stub.seen("/metrics").last()?.headers["authorization"] == "Bearer n3w").then_some(())
    });
    program.wait_for_value("up", 1.0);
}

#[test]
fn nodes_and_cadvisor_are_scraped_through_the_api_server() {
    let stub = Stub::start();
    stub.set("/api/v1/nodes/n1/proxy/metrics", Answer::page("kubelet_running_pods 7\n"));
    stub.set("/api/v1/nodes/n2/proxy/metrics", Answer::page("kubelet_running_pods 8\n"));
    // Its samples have times of their own.
    stub.set(
        "/api/v1/nodes/n1/proxy/metrics/cadvisor",
        Answer::computed(|_| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            format!("container_memory_usage_bytes{{container=\"main\",pod=\"web-1\"}} 5 {now}\n")
        }),
    );
    let front = TlsFront::before(&stub.address);
    let server =
        cluster(&[("nodes", node("n1", "10.0.0.1", 10250)), ("nodes", node("n2", "10.0.0.2", 10250))]);
    let job = |name: &str, path: &str| {
        format!("
- job_name: {name}
  scheme: https
  tls_config: {{ca_file: ca.crt, server_name: localhost}}
  authorization: {{credentials_file: token}}
  kubernetes_sd_configs: [{{role: node, kubeconfig_file: kubeconfig}}]
  relabel_configs:
  - {{action: labelmap, regex: '__meta_kubernetes_node_label_(.+)'}}
  - {{target_label: __address__, replacement: '{}'}}
  - {{source_labels: [__meta_kubernetes_node_name], regex: '(.+)', target_label: __metrics_path__, replacement: '/api/v1/nodes/${{1}}/proxy/{path}'}}
", front.address)
    };
    let config = format!(
        "global: {{scrape_interval: 300ms}}\nscrape_configs:{}{}",
        job("kubernetes-nodes", "metrics"),
        job("kubernetes-cadvisor", "metrics/cadvisor")
    );
    let site = site(&server, &config);
    site.write("ca.crt", &front.certificate);
    let program = site.start();
    fn of_node<'a>(name: &'a str, job: &'a str, node: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("__name__", name),
            ("job", job),
            ("instance", node),
            ("kubernetes_io_hostname", node),
            ("zone", "a"),
        ]
    }
    let running = |node| of_node("kubelet_running_pods", "kubernetes-nodes", node);
    wait_for_labels(&program, "kubelet_running_pods > 6", &[&running("n1"), &running("n2")]);
    let mut memory = of_node("container_memory_usage_bytes", "kubernetes-cadvisor", "n1");
    memory.extend([("container", "main"), ("pod", "web-1")]);
    wait_for_labels(&program, "container_memory_usage_bytes", &[&memory]);
    program.wait_for_value("up{job=\"kubernetes-cadvisor\",instance=\"n2\"}", 0.0);
    assert_eq!(stub.seen("/api/v1/nodes/n1/proxy/metrics")[0].headers["authorization"], "Bearer t0ken");
}

/// The annotations of a pod or service, `prometheus.io/…`.
fn annotations(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, value)| (format!("prometheus.io/{name}"), Value::from(*value))).collect()
}

#[test]
fn annotated_pods_are_scraped_as_they_say() {
    let (plain, secret) = (Stub::start(), Stub::start());
    plain.set("/metrics", Answer::page("x 1\n"));
    plain.set("/deep/metrics", Answer::page("x 2\n"));
    secret.set("/metrics", Answer::page("x 3\n"));
    let front = TlsFront::before(&secret.address);
    let (port, tls_port) = (port_of(&plain.address), port_of(&front.address));
    let (port_text, tls_text) = (port.to_string(), tls_port.to_string());
    let scrape = ("scrape", "true");
    let server = cluster(&[
        // Its two ports make one target: the annotation says which.
        (
            "pods",
            pod(
                "plain",
                "127.0.0.1",
                "Running",
                &[8080, 9090],
                &annotations(&[scrape, ("port", &port_text)]),
            ),
        ),
        (
            "pods",
            pod(
                "deep",
                "127.0.0.1",
                "Running",
                &[8080],
                &annotations(&[scrape, ("port", &port_text), ("path", "/deep/metrics")]),
            ),
        ),
        (
            "pods",
            pod(
                "secret",
                "127.0.0.1",
                "Running",
                &[8080],
                &annotations(&[scrape, ("port", &tls_text), ("scheme", "https")]),
            ),
        ),
        // No port in the annotations: that of the container.
        ("pods", pod("own-port", "127.0.0.1", "Running", &[port], &annotations(&[scrape]))),
        ("pods", pod("quiet", "127.0.0.1", "Running", &[port], &annotations(&[("scrape", "false")]))),
        ("pods", pod("silent", "127.0.0.1", "Running", &[port], &json!({}))),
        ("pods", pod("over", "127.0.0.1", "Succeeded", &[port], &annotations(&[scrape]))),
    ]);
    let site = site(
        &server,
        r#"
global: {scrape_interval: 300ms}
scrape_configs:
- job_name: kubernetes-pods
  tls_config: {insecure_skip_verify: true}
  kubernetes_sd_configs: [{role: pod, kubeconfig_file: kubeconfig}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme], action: replace, regex: "(https?)", target_label: __scheme__}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], action: replace, target_label: __metrics_path__, regex: "(.+)"}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip], action: replace, regex: '(\d+);(([A-Fa-f0-9]{1,4}::?){1,7}[A-Fa-f0-9]{1,4})', replacement: '[$2]:$1', target_label: __address__}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip], action: replace, regex: '(\d+);((([0-9]+?)(\.|$)){4})', replacement: "$2:$1", target_label: __address__}
  - {action: labelmap, regex: "__meta_kubernetes_pod_label_(.+)"}
  - {source_labels: [__meta_kubernetes_namespace], action: replace, target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], action: replace, target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_phase], regex: "Pending|Succeeded|Failed|Completed", action: drop}
"#,
    );
    let program = site.start();
    let address = |port: u16| format!("127.0.0.1:{port}");
    let (at, tls_at) = (address(port), address(tls_port));
    let of_pod = |pod: &'static str, instance| {
        [
            ("__name__", "x"),
            ("job", "kubernetes-pods"),
            ("instance", instance),
            ("namespace", "shop"),
            ("pod", pod),
            ("app_kubernetes_io_name", "web"),
        ]
    };
    let of = |pod, instance| of_pod(pod, instance);
    wait_for_labels(&program, "x == 1", &[&of("plain", &at), &of("own-port", &at)]);
    wait_for_labels(&program, "x == 2", &[&of("deep", &at)]);
    wait_for_labels(&program, "x == 3", &[&of("secret", &tls_at)]);
    assert_eq!(program.value("count(up)"), Some(4.0));
}

#[test]
fn annotated_services_have_their_endpoints_scraped_as_they_say() {
    let stub = Stub::start();
    stub.set("/metrics", Answer::page("x 1\n"));
    stub.set("/probe", Answer::page("x 2\n"));
    let port = port_of(&stub.address);
    let port_text = port.to_string();
    let scrape = ("scrape", "true");
    let server = cluster(&[
        ("services", service("shop", "web", &annotations(&[scrape]))),
        ("endpoints", endpoints("shop", "web", "http", port)),
        (
            "services",
            service(
                "shop",
                "deep",
                &annotations(&[scrape, ("port", &port_text), ("path", "/probe"), ("param_module", "m x")]),
            ),
        ),
        ("endpoints", endpoints("shop", "deep", "http", 1)),
        ("services", service("shop", "silent", &json!({}))),
        ("endpoints", endpoints("shop", "silent", "http", port)),
    ]);
    let site = site(
        &server,
        r#"
global: {scrape_interval: 300ms}
scrape_configs:
- job_name: kubernetes-service-endpoints
  kubernetes_sd_configs: [{role: endpoints, kubeconfig_file: kubeconfig}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_service_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_service_annotation_prometheus_io_scheme], action: replace, target_label: __scheme__, regex: "(https?)"}
  - {source_labels: [__meta_kubernetes_service_annotation_prometheus_io_path], action: replace, target_label: __metrics_path__, regex: "(.+)"}
  - {source_labels: [__address__, __meta_kubernetes_service_annotation_prometheus_io_port], action: replace, target_label: __address__, regex: '(.+?)(?::\d+)?;(\d+)', replacement: "$1:$2"}
  - {action: labelmap, regex: "__meta_kubernetes_service_annotation_prometheus_io_param_(.+)", replacement: __param_$1}
  - {action: labelmap, regex: "__meta_kubernetes_service_label_(.+)"}
  - {source_labels: [__meta_kubernetes_namespace], action: replace, target_label: namespace}
  - {source_labels: [__meta_kubernetes_service_name], action: replace, target_label: service}
"#,
    );
    let program = site.start();
    let labels = |service: &'static str| {
        [
            ("__name__", "x"),
            ("job", "kubernetes-service-endpoints"),
            ("instance", stub.address.as_str()),
            ("namespace", "shop"),
            ("service", service),
            ("app", service),
        ]
    };
    wait_for_labels(&program, "x == 1", &[&labels("web")]);
    wait_for_labels(&program, "x == 2", &[&labels("deep")]);
    assert_eq!(program.value("count(up)"), Some(2.0));
    assert_eq!(stub.seen("/probe")[0].target, "/probe?module=m+x");
}

/// A reverse proxy in front of a cluster: `/api/…` is the API server, `/pods/HOST/PORT/…` any pod, `/apiservers/HOST/PORT/…` an API
/// server's own page.
fn proxy(server: &ApiServer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream = server.url().trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let upstream = upstream.clone();
            // Clients go away when they like.
            std::thread::spawn(move || forward(&stream, &upstream).ok());
        }
    });
    address
}

fn forward(stream: &TcpStream, api_server: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let segments: Vec<&str> = target.splitn(5, '/').collect();
        match segments.as_slice() {
            ["", "pods" | "apiservers", _, port, path] => {
                let port = port.parse().map_err(std::io::Error::other)?;
                let answer = http::request(port, "GET", &format!("/{path}"), &[("X-Forwarded", "yes")], b"")?;
                let head = format!(
                    "HTTP/1.1 {} Answer\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                    answer.status,
                    answer.header("content-type").unwrap_or_default(),
                    answer.body.len()
                );
                (&*stream).write_all(&[head.as_bytes(), &answer.body].concat())?;
            }
            // From here on this connection belongs to the API server.
            _ => {
                let mut upstream = TcpStream::connect(api_server)?;
                upstream.write_all(&head)?;
                let mut back = (upstream.try_clone()?, stream.try_clone()?);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back.0, &mut back.1);
                    let _ = back.1.shutdown(std::net::Shutdown::Both);
                });
                let mut rest = reader.buffer().to_vec();
                upstream.write_all(&std::mem::take(&mut rest))?;
                let mut piece = [0; 4096];
                let mut from = stream;
                loop {
                    let read = from.read(&mut piece)?;
                    if read == 0 {
                        return upstream.shutdown(std::net::Shutdown::Both);
                    }
                    upstream.write_all(&piece[..read])?;
                }
            }
        }
    }
}

#[test]
fn an_outside_server_scrapes_a_cluster_through_one_proxy() {
    let (pods, api) = (Stub::start(), Stub::start());
    pods.set("/metrics", Answer::page("x 1\n"));
    pods.set("/deep/metrics", Answer::page("x 2\n"));
    api.set("/metrics", Answer::page("apiserver_request_total 3\n"));
    let (port, api_port) = (port_of(&pods.address), port_of(&api.address));
    let port_text = port.to_string();
    let scrape = ("scrape", "true");
    let server = cluster(&[
        ("services", service("default", "kubernetes", &json!({}))),
        ("endpoints", endpoints("default", "kubernetes", "https", api_port)),
        (
            "pods",
            pod(
                "plain",
                "127.0.0.1",
                "Running",
                &[8080],
                &annotations(&[scrape, ("port", &port_text), ("path", "/metrics")]),
            ),
        ),
        (
            "pods",
            pod(
                "deep",
                "127.0.0.1",
                "Running",
                &[8080],
                &annotations(&[scrape, ("port", &port_text), ("path", "/deep/metrics")]),
            ),
        ),
        ("pods", pod("silent", "127.0.0.1", "Running", &[port], &json!({}))),
    ]);
    let proxy = proxy(&server);
    let config = r#"
global: {scrape_interval: 300ms}
scrape_configs:
- job_name: kubernetes-apiservers
  kubernetes_sd_configs: [{role: endpoints, api_server: 'http://PROXY'}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_namespace, __meta_kubernetes_service_name, __meta_kubernetes_endpoint_port_name], action: keep, regex: default;kubernetes;https}
  - {source_labels: [__address__], regex: '(.+):(\d+)', target_label: __metrics_path__, replacement: "/apiservers/$1/$2/metrics"}
  - {source_labels: [__address__], target_label: instance}
  - {target_label: __address__, replacement: 'PROXY'}
- job_name: kubernetes-pods
  kubernetes_sd_configs: [{role: pod, api_server: 'http://PROXY'}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_annotation_prometheus_io_path], regex: '(.+);(\d+);/?(.+)', target_label: __metrics_path__, replacement: "/pods/$1/$2/$3"}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__address__], target_label: instance}
  - {target_label: __address__, replacement: 'PROXY'}
"#;
    let site = Site::server(&config.replace("PROXY", &proxy));
    let program = site.start();
    let at = format!("127.0.0.1:{api_port}");
    let of_api = [
        ("__name__", "apiserver_request_total"),
        ("job", "kubernetes-apiservers"),
        ("instance", at.as_str()),
    ];
    wait_for_labels(&program, "apiserver_request_total == 3", &[&of_api]);
    let of_pod = |pod: &'static str| {
        [("__name__", "x"), ("job", "kubernetes-pods"), ("instance", "127.0.0.1:8080"), ("pod", pod)]
    };
    wait_for_labels(&program, "x == 1", &[&of_pod("plain")]);
    wait_for_labels(&program, "x == 2", &[&of_pod("deep")]);
    let target = program.data("/api/v1/targets?scrapePool=kubernetes-pods");
    let urls: Vec<&str> = target["activeTargets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["scrapeUrl"].as_str().unwrap())
        .collect();
    let url = |path: &str| format!("http://{proxy}/pods/127.0.0.1/{port}/{path}");
    assert_eq!(urls, [url("deep/metrics"), url("metrics")]);
    assert_eq!(pods.seen("/metrics")[0].headers["x-forwarded"], "yes");

    // A pod that is deleted goes through the same proxy.
    server.delete("/api/v1/pods", "shop", "deep");
    program.wait_for("its series to be stale", |p| p.query("x == 2").is_empty().then_some(()));
}
