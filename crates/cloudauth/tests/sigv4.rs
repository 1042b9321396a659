//! Signatures of AWS' own examples: the signature test suite (service `service`), and the S3 guide's requests.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use cloudauth::{Keys, Scope, sign};
use httpclient::{HeaderMap, HeaderName, HeaderValue, Method, Url};
use proptest::prelude::*;

#[derive(Clone, Copy)]
struct Example {
    name: &'static str,
    method: &'static str,
    url: &'static str,
    headers: &'static [(&'static str, &'static str)],
    content: &'static str,
    signed: &'static str,
    signature: &'static str,
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn authorization(example: &Example, keys: &Keys, scope: Scope<'_>) -> String {
    let url = Url::parse(example.url).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in example.headers {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_static(value));
    }
    sign(&example.method.parse().unwrap(), &url, &mut headers, example.content.as_bytes(), keys, scope)
        .unwrap();
    headers["authorization"].to_str().unwrap().to_owned()
}

#[test]
fn requests_of_the_test_suite() {
    let keys = Keys::lasting("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into());
    let scope = Scope {
        region: "us-east-1",
        service: "service",
        now: UNIX_EPOCH + Duration::from_secs(1_440_938_160),
    };
    let vanilla = Example {
        name: "get-vanilla",
        method: "GET",
        url: "https://example.amazonaws.com/",
        headers: &[],
        content: "",
        signed: "host;x-amz-date",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    };
    let examples = [
        Example {
            name: "get-vanilla-query-order-key-case",
            url: "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ..vanilla
        },
        Example {
            name: "post-vanilla",
            method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ..vanilla
        },
        Example {
            name: "get-header-value-trim",
            headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            signed: "host;my-header1;my-header2;x-amz-date",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ..vanilla
        },
        Example {
            name: "post-x-www-form-urlencoded",
            method: "POST",
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            content: "Param1=value1",
            signed: "content-type;host;x-amz-date",
            signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ..vanilla
        },
        Example {
            name: "get-vanilla-utf8-query",
            url: "https://example.amazonaws.com/?%E1%88%B4=bar",
            signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ..vanilla
        },
        vanilla,
    ];
    for example in examples {
        let want = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={}",
            example.signed, example.signature
        );
        assert_eq!(authorization(&example, &keys, scope), want, "{}", example.name);
    }
}

#[test]
fn requests_of_the_s3_guide() {
    let keys = Keys::lasting("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into());
    let scope =
        Scope { region: "us-east-1", service: "s3", now: UNIX_EPOCH + Duration::from_secs(1_369_353_600) };
    let get = Example {
        name: "get object",
        method: "GET",
        url: "https://examplebucket.s3.amazonaws.com/test.txt",
        headers: &[("range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY)],
        content: "",
        signed: "host;range;x-amz-content-sha256;x-amz-date",
        signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    };
    let examples = [
        Example {
            name: "bucket lifecycle",
            url: "https://examplebucket.s3.amazonaws.com/?lifecycle",
            headers: &[("x-amz-content-sha256", EMPTY)],
            signed: "host;x-amz-content-sha256;x-amz-date",
            signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ..get
        },
        Example {
            name: "list objects",
            url: "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
            headers: &[("x-amz-content-sha256", EMPTY)],
            signed: "host;x-amz-content-sha256;x-amz-date",
            signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ..get
        },
        get,
    ];
    for example in examples {
        let got = authorization(&example, &keys, scope);
        let want = format!("SignedHeaders={}, Signature={}", example.signed, example.signature);
        assert!(got.ends_with(&want), "{}: {got}", example.name);
    }
}

#[test]
fn temporary_keys_send_their_token() {
    let keys = Keys { session_token: Some("t/1".into()), ..Keys::lasting("A", "s".into()) };
    let url = Url::parse("http://127.0.0.1:8080/x y/%41").unwrap();
    let mut headers = HeaderMap::new();
    let scope = Scope { region: "r", service: "aps", now: UNIX_EPOCH };
    sign(&Method::POST, &url, &mut headers, b"x", &keys, scope).unwrap();
    assert_eq!(headers["x-amz-date"], "19700101T000000Z");
    assert_eq!(headers["x-amz-security-token"], "t/1");
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-security-token,"), "{authorization}");
}

proptest! {
    #[test]
    fn any_request_can_be_signed(path in "\\PC{0,20}", query in "\\PC{0,20}", value in "[ -~]{0,20}", content: Vec<u8>) {
        let mut url = Url::parse("https://h.example/").unwrap();
        url.set_path(&path);
        url.set_query(Some(&query));
        let mut headers = HeaderMap::new();
        headers.insert("x-any", HeaderValue::from_str(&value).unwrap());
        let keys = Keys::lasting("A", "s".into());
        let scope = Scope { region: "r", service: "s", now: UNIX_EPOCH };
        sign(&Method::POST, &url, &mut headers, &content, &keys, scope).unwrap();
        prop_assert!(headers.contains_key("authorization"));
    }
}
