//! The fake API server as a program: `api_server ADDRESS [FOLDER] [--pods=N] [--objects=FILE]`.
//!
//! FOLDER holds lists as `RESOURCE.json`. `--pods` adds so many pods that look like those of a real cluster. `--objects`
//! names a file of `{"resource": "/api/v1/pods", "object": {…}}`, one a line, which are put there. Each line on standard
//! input is then done: such an object, or `delete RESOURCE NAMESPACE NAME`, `drop`, `compact`, `requests`, `flip N`
//! (changes N pods). It ends with its standard input.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::BufRead;
use std::path::Path;

use serde_json::{Value, json};
use testkit::api_server::{ApiServer, synthetic_pod};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = ApiServer::listen(&arguments.next().ok_or("which address?")?)?;
    for resource in ["pods", "nodes", "services", "endpoints", "namespaces"] {
        server.load(&format!("/api/v1/{resource}"), r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#);
    }
    for argument in arguments {
        if let Some(count) = argument.strip_prefix("--pods=") {
            let items: Vec<Value> = (0..count.parse()?).map(synthetic_pod).collect();
            let list = json!({"metadata": {"resourceVersion": "10"}, "items": items});
            server.load("/api/v1/pods", &list.to_string());
        } else if let Some(file) = argument.strip_prefix("--objects=") {
            for line in std::fs::read_to_string(file)?.lines() {
                put(&server, line)?;
            }
        } else {
            server.load_folder(Path::new(&argument))?;
        }
    }
    println!("{}", server.url());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["delete", resource, namespace, name] => server.delete(resource, namespace, name),
            ["drop"] => server.drop_connections(),
            ["compact"] => server.compact(),
            ["requests"] => server.requests().iter().for_each(|request| println!("{request}")),
            ["flip", count] => {
                for i in 0..count.parse()? {
                    let mut pod = synthetic_pod(i);
                    pod["status"]["podIP"] = json!("10.99.99.99");
                    server.put("/api/v1/pods", pod);
                }
            }
            _ => put(&server, &line)?,
        }
    }
    Ok(())
}

fn put(server: &ApiServer, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    let entry: Value = serde_json::from_str(line)?;
    server.put(entry["resource"].as_str().ok_or("no resource")?, entry["object"].clone());
    Ok(())
}
