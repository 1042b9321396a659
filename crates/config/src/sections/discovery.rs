//! Service discovery: `static_configs` and `*_sd_configs`.

use std::collections::BTreeMap;

use model::number::quote;

use super::http_client::{BasicAuth, HttpClient};
use crate::decode::{Field, Invalid, Keys, Section, invalid, invalid_at, section};
use crate::kinds::{Anything, FilePath, LabelSet, Millis, Secret, Url, Word, check_url, word};
use crate::selector::{check_fields, check_labels};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;

section! {
    /// Every kind of discovery; in a file these keys stand beside the job's own.
    Discovery "discovery.Configs" "discovery.Configs" {
        /// AWS.
        aws: Others = "aws_sd_configs",
        /// Azure.
        azure: Others = "azure_sd_configs",
        /// Consul's catalogue.
        consul: Vec<Option<ConsulSd>> = "consul_sd_configs",
        /// DigitalOcean.
        digitalocean: Others = "digitalocean_sd_configs",
        /// Names in DNS.
        dns: Vec<Option<DnsSd>> = "dns_sd_configs",
        /// Docker containers.
        docker: Others = "docker_sd_configs",
        /// Docker Swarm.
        dockerswarm: Others = "dockerswarm_sd_configs",
        /// AWS EC2.
        ec2: Others = "ec2_sd_configs",
        /// AWS ECS.
        ecs: Others = "ecs_sd_configs",
        /// AWS ElastiCache.
        elasticache: Others = "elasticache_sd_configs",
        /// Eureka.
        eureka: Others = "eureka_sd_configs",
        /// Lists in files.
        file: Vec<Option<FileSd>> = "file_sd_configs",
        /// Google Compute Engine.
        gce: Others = "gce_sd_configs",
        /// Hetzner.
        hetzner: Others = "hetzner_sd_configs",
        /// Lists behind a URL.
        http: Vec<Option<HttpSd>> = "http_sd_configs",
        /// IONOS.
        ionos: Others = "ionos_sd_configs",
        /// Objects of a Kubernetes cluster.
        kubernetes: Vec<Option<KubernetesSd>> = "kubernetes_sd_configs",
        /// Kuma.
        kuma: Others = "kuma_sd_configs",
        /// AWS Lightsail.
        lightsail: Others = "lightsail_sd_configs",
        /// Linode.
        linode: Others = "linode_sd_configs",
        /// Marathon.
        marathon: Others = "marathon_sd_configs",
        /// AWS MSK.
        msk: Others = "msk_sd_configs",
        /// AirBnB's Nerve.
        nerve: Others = "nerve_sd_configs",
        /// Nomad.
        nomad: Others = "nomad_sd_configs",
        /// Oracle Cloud.
        oci: Others = "oci_sd_configs",
        /// OpenStack.
        openstack: Others = "openstack_sd_configs",
        /// Outscale.
        outscale: Others = "outscale_sd_configs",
        /// OVHcloud.
        ovhcloud: Others = "ovhcloud_sd_configs",
        /// PuppetDB.
        puppetdb: Others = "puppetdb_sd_configs",
        /// AWS RDS.
        rds: Others = "rds_sd_configs",
        /// Scaleway.
        scaleway: Others = "scaleway_sd_configs",
        /// Serversets in ZooKeeper.
        serverset: Others = "serverset_sd_configs",
        /// STACKIT.
        stackit: Others = "stackit_sd_configs",
        /// Targets written here.
        static_configs: Vec<Option<StaticConfig>> = "static_configs",
        /// Triton.
        triton: Others = "triton_sd_configs",
        /// Uyuni.
        uyuni: Others = "uyuni_sd_configs",
        /// Vultr.
        vultr: Others = "vultr_sd_configs",
    }
}

/// A kind whose keys are kept as they are written.
pub type Others = Vec<Option<Anything>>;

impl Section for Discovery {}

impl Discovery {
    /// The keys that are written, with at least one element.
    pub(crate) fn kinds_in_use(&self) -> Vec<&'static str> {
        let mut pairs = Vec::new();
        self.push_encoded(&mut pairs);
        let mut keys = Vec::new();
        Discovery::push_keys(&mut keys);
        keys.into_iter().filter(|key| pairs.iter().any(|(written, _)| written == key)).collect()
    }

    /// Refuses null elements, and URLs among static targets where no rule could make addresses of them.
    pub(crate) fn check_elements(&self, relabelled: bool) -> Result<(), Invalid> {
        let others: [(&'static str, &Others); 31] = [
            ("aws_sd_configs", &self.aws),
            ("azure_sd_configs", &self.azure),
            ("digitalocean_sd_configs", &self.digitalocean),
            ("docker_sd_configs", &self.docker),
            ("dockerswarm_sd_configs", &self.dockerswarm),
            ("ec2_sd_configs", &self.ec2),
            ("ecs_sd_configs", &self.ecs),
            ("elasticache_sd_configs", &self.elasticache),
            ("eureka_sd_configs", &self.eureka),
            ("gce_sd_configs", &self.gce),
            ("hetzner_sd_configs", &self.hetzner),
            ("ionos_sd_configs", &self.ionos),
            ("kuma_sd_configs", &self.kuma),
            ("lightsail_sd_configs", &self.lightsail),
            ("linode_sd_configs", &self.linode),
            ("marathon_sd_configs", &self.marathon),
            ("msk_sd_configs", &self.msk),
            ("nerve_sd_configs", &self.nerve),
            ("nomad_sd_configs", &self.nomad),
            ("oci_sd_configs", &self.oci),
            ("openstack_sd_configs", &self.openstack),
            ("outscale_sd_configs", &self.outscale),
            ("ovhcloud_sd_configs", &self.ovhcloud),
            ("puppetdb_sd_configs", &self.puppetdb),
            ("rds_sd_configs", &self.rds),
            ("scaleway_sd_configs", &self.scaleway),
            ("serverset_sd_configs", &self.serverset),
            ("stackit_sd_configs", &self.stackit),
            ("triton_sd_configs", &self.triton),
            ("uyuni_sd_configs", &self.uyuni),
            ("vultr_sd_configs", &self.vultr),
        ];
        for (key, elements) in others {
            refuse_null(key, elements)?;
        }
        refuse_null("consul_sd_configs", &self.consul)?;
        refuse_null("dns_sd_configs", &self.dns)?;
        refuse_null("file_sd_configs", &self.file)?;
        refuse_null("http_sd_configs", &self.http)?;
        refuse_null("kubernetes_sd_configs", &self.kubernetes)?;
        refuse_null("static_configs", &self.static_configs)?;
        if relabelled {
            return Ok(());
        }
        let mut targets = self.static_configs.iter().flatten().flat_map(|group| &group.targets);
        match targets.find(|target| target.contains('/')) {
            Some(target) => invalid_at(
                "static_configs",
                format!("{} is not a valid hostname", quote(target)),
            )
            .map_err(|err| {
                err.help("a target is host:port; scheme and path are the job's `scheme` and `metrics_path`")
            }),
            None => Ok(()),
        }
    }
}

fn refuse_null<T: Field>(key: &'static str, elements: &[Option<T>]) -> Result<(), Invalid> {
    if elements.iter().any(Option::is_none) {
        return invalid_at(key, format!("empty or null section in {key}"));
    }
    Ok(())
}

section! {
    /// Targets with their labels.
    StaticConfig "targetgroup.Group" "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }" {
        /// Addresses.
        targets: Vec<String> = "targets" keep,
        /// Labels of all of them.
        labels: LabelSet = "labels",
    }
}
impl Section for StaticConfig {}

section! {
    /// Lists of targets in files.
    FileSd "file.SDConfig" "file.plain" {
        /// Paths; the last element may hold a star.
        files: Vec<FilePath> = "files" keep,
        /// How often they are read though nothing changed.
        refresh_interval: Millis = "refresh_interval",
    }
}

impl Section for FileSd {
    fn defaults() -> Self {
        FileSd { refresh_interval: Millis(5 * MINUTE), ..FileSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.files.is_empty() {
            return invalid("file service discovery config must contain at least one path name");
        }
        match self.files.iter().find(|file| !is_list_of_targets(&file.0)) {
            Some(file) => {
                let line = format!("path name {} is not valid for file discovery", quote(&file.0));
                let help =
                    "names end in .json, .yml or .yaml, and only the last element of a path may hold a star";
                invalid_at("files", line).map_err(|err| err.help(help))
            }
            None => Ok(()),
        }
    }
}

/// `.json`, `.yml` or `.yaml` at the end, and no slash after a star.
fn is_list_of_targets(path: &str) -> bool {
    let Some((stem, extension)) = path.rsplit_once('.') else { return false };
    let known = ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension);
    known && stem.split_once('*').is_none_or(|(_, after)| !after.contains('/'))
}

section! {
    /// A list of targets behind a URL.
    HttpSd "http.SDConfig" "http.plain" {
        /// How it is reached.
        http: HttpClient = inline,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Where.
        url: String = "url" keep,
    }
}

impl Section for HttpSd {
    fn defaults() -> Self {
        HttpSd { http: HttpClient::defaults(), refresh_interval: Millis(MINUTE), url: String::new() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.url.is_empty() {
            return invalid("URL is missing").map_err(|err| err.help("add `url: http://host/path`"));
        }
        if let Err(reason) = check_url(&self.url) {
            return invalid_at("url", format!("parse {}: {reason}", quote(&self.url)));
        }
        let (scheme, rest) = self.url.split_once(':').unwrap_or(("", &self.url));
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return invalid_at("url", "URL scheme must be 'http' or 'https'");
        }
        if !rest.starts_with("//") || rest[2..].is_empty() || rest[2..].starts_with(['/', '?', '#']) {
            return invalid_at("url", "host is missing in URL");
        }
        self.http.check()
    }
}

section! {
    /// Names in DNS.
    DnsSd "dns.SDConfig" "dns.plain" {
        /// The names.
        names: Vec<String> = "names" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// `SRV`, `A`, `AAAA`, `MX`, `NS`.
        kind: String = "type" keep,
        /// The port, which only SRV records bring along.
        port: isize = "port" keep,
    }
}

impl Section for DnsSd {
    fn defaults() -> Self {
        DnsSd { refresh_interval: Millis(30 * SECOND), kind: "SRV".into(), ..DnsSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.names.is_empty() {
            return invalid("DNS-SD config must contain at least one SRV record name");
        }
        match self.kind.to_uppercase().as_str() {
            "SRV" => Ok(()),
            "A" | "AAAA" | "MX" | "NS" if self.port == 0 => {
                invalid_at("type", "a port is required in DNS-SD configs for all record types except SRV")
            }
            "A" | "AAAA" | "MX" | "NS" => Ok(()),
            _ => invalid_at("type", format!("invalid DNS-SD records type {}", self.kind))
                .map_err(|err| err.help("one of: SRV, A, AAAA, MX, NS")),
        }
    }
}

section! {
    /// Consul's catalogue.
    ConsulSd "consul.SDConfig" "consul.plain" {
        /// The agent's address.
        server: String = "server",
        /// A path before the API's.
        path_prefix: String = "path_prefix",
        /// The ACL token.
        token: Secret = "token",
        /// The data centre.
        datacenter: String = "datacenter",
        /// The namespace.
        namespace: String = "namespace",
        /// The admin partition.
        partition: String = "partition",
        /// What stands between the tags in their label.
        tag_separator: String = "tag_separator",
        /// `http` or `https`.
        scheme: String = "scheme",
        /// Old spelling of `basic_auth.username`.
        username: String = "username",
        /// Old spelling of `basic_auth.password`.
        password: Secret = "password",
        /// Take answers that may be old.
        allow_stale: bool = "allow_stale" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Which services; all if none.
        services: Vec<String> = "services",
        /// Tags that a service must have.
        tags: Vec<String> = "tags",
        /// Metadata that a node must have.
        node_meta: BTreeMap<String, String> = "node_meta",
        /// A filter of the catalogue.
        filter: String = "filter",
        /// A filter of the health endpoint.
        health_filter: String = "health_filter",
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for ConsulSd {
    fn defaults() -> Self {
        ConsulSd {
            tag_separator: ",".into(),
            scheme: "http".into(),
            server: "localhost:8500".into(),
            allow_stale: true,
            refresh_interval: Millis(30 * SECOND),
            http: HttpClient::defaults(),
            ..ConsulSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.server.trim().is_empty() {
            return invalid_at("server", "consul SD configuration requires a server address");
        }
        if !self.username.is_empty() || !self.password.is_empty() {
            if self.http.basic_auth.is_some() {
                return invalid_at(
                    "basic_auth",
                    "at most one of consul SD configuration username and password and basic auth can be configured",
                );
            }
            self.http.basic_auth = Some(BasicAuth {
                username: self.username.clone(),
                password: self.password.clone(),
                ..BasicAuth::default()
            });
        }
        if !self.token.is_empty() && (self.http.authorization.is_some() || self.http.oauth2.is_some()) {
            return invalid_at(
                "token",
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            );
        }
        self.http.check()
    }
}

section! {
    /// Objects of a Kubernetes cluster.
    KubernetesSd "kubernetes.SDConfig" "kubernetes.plain" {
        /// The API server; the one of this cluster if none.
        api_server: Url = "api_server",
        /// Which objects.
        role: Role = "role" keep,
        /// A file that says how the cluster is reached.
        kubeconfig_file: FilePath = "kubeconfig_file" keep,
        /// How it is reached.
        http: HttpClient = inline,
        /// Which namespaces; all if none.
        namespaces: Namespaces = "namespaces",
        /// Which objects of a role.
        selectors: Vec<Selector> = "selectors",
        /// What of other objects is added.
        attach_metadata: AttachMetadata = "attach_metadata",
    }
}

section! {
    /// Which namespaces.
    Namespaces "kubernetes.NamespaceDiscovery" "kubernetes.plain" {
        /// Our own.
        own_namespace: bool = "own_namespace" keep,
        /// These.
        names: Vec<String> = "names" keep,
    }
}
impl Section for Namespaces {}

section! {
    /// Which objects of a role.
    Selector "kubernetes.SelectorConfig" "kubernetes.SelectorConfig" {
        /// The role.
        role: Role = "role",
        /// A selector of labels.
        label: String = "label",
        /// A selector of fields.
        field: String = "field",
    }
}
impl Section for Selector {}

section! {
    /// What of other objects is added to targets.
    AttachMetadata "kubernetes.AttachMetadataConfig" "kubernetes.AttachMetadataConfig" {
        /// The pod's node.
        node: bool = "node" keep,
        /// The object's namespace.
        namespace: bool = "namespace" keep,
        /// The pod's deployment.
        deployment: bool = "deployment" keep,
        /// The pod's job.
        job: bool = "job" keep,
        /// The pod's cron job.
        cronjob: bool = "cronjob" keep,
    }
}
impl Section for AttachMetadata {}

/// Which objects of a cluster become targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Not written.
    #[default]
    Unset,
    /// Nodes.
    Node,
    /// Pods.
    Pod,
    /// Services.
    Service,
    /// Endpoints.
    Endpoints,
    /// Endpoint slices.
    EndpointSlice,
    /// Ingresses.
    Ingress,
}

impl Word for Role {
    const GO_TYPE: &'static str = "kubernetes.Role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "node" => Role::Node,
            "pod" => Role::Pod,
            "service" => Role::Service,
            "endpoints" => Role::Endpoints,
            "endpointslice" => Role::EndpointSlice,
            "ingress" => Role::Ingress,
            other => return Err(format!("unknown Kubernetes SD role {}", quote(other))),
        })
    }

    fn word(self) -> &'static str {
        match self {
            Role::Unset => "",
            Role::Node => "node",
            Role::Pod => "pod",
            Role::Service => "service",
            Role::Endpoints => "endpoints",
            Role::EndpointSlice => "endpointslice",
            Role::Ingress => "ingress",
        }
    }

    fn choices() -> &'static str {
        "node, pod, service, endpoints, endpointslice, ingress"
    }
}
word!(Role);

impl Role {
    /// The roles that a selector may have beside this one.
    fn selectable(self) -> &'static [Role] {
        match self {
            Role::Unset => &[],
            Role::Pod => &[Role::Pod, Role::Node],
            Role::Service => &[Role::Service],
            Role::EndpointSlice => &[Role::Pod, Role::Service, Role::EndpointSlice],
            Role::Endpoints => &[Role::Pod, Role::Service, Role::Endpoints],
            Role::Node => &[Role::Node],
            Role::Ingress => &[Role::Ingress],
        }
    }
}

impl Section for KubernetesSd {
    fn defaults() -> Self {
        KubernetesSd { http: HttpClient::defaults(), ..KubernetesSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.role == Role::Unset {
            return invalid("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)");
        }
        self.http.check()?;
        let (server, file) = (!self.api_server.is_unset(), !self.kubeconfig_file.is_unset());
        if server && file {
            return invalid_at(
                "kubeconfig_file",
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            );
        }
        if file && !self.http.is_default() {
            return invalid("cannot use a custom HTTP client configuration together with 'kubeconfig_file'");
        }
        if !server && !self.http.is_default() {
            return invalid(
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
            );
        }
        if server && self.namespaces.own_namespace {
            return invalid_at(
                "namespaces",
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            );
        }
        if file && self.namespaces.own_namespace {
            return invalid_at(
                "namespaces",
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            );
        }
        self.check_selectors()
    }
}

impl KubernetesSd {
    fn check_selectors(&self) -> Result<(), Invalid> {
        let allowed = self.role.selectable();
        for (i, selector) in self.selectors.iter().enumerate() {
            let word = selector.role.word();
            if self.selectors[..i].iter().any(|earlier| earlier.role == selector.role) {
                return invalid_at("selectors", format!("duplicated selector role: {word}"));
            }
            if !allowed.contains(&selector.role) {
                let words: Vec<&str> = allowed.iter().map(|role| role.word()).collect();
                let line = format!("{} role supports only {} selectors", self.role.word(), words.join(", "));
                return invalid_at("selectors", line);
            }
            let checked = check_fields(&selector.field).and_then(|()| check_labels(&selector.label));
            if let Err(line) = checked {
                return invalid_at("selectors", line);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_in_the_last_element_of_a_path_to_targets() {
        let names =
            ["a.json", "d/*.yml", "d/a*b*.yaml", "a*.JSON", "*/a.json", "a*/b*.yml", "a.txt", "json", "a*"];
        let listed: Vec<bool> = names.iter().map(|name| is_list_of_targets(name)).collect();
        assert_eq!(listed, [true, true, true, true, false, false, false, false, false]);
    }
}
