//! What HTTP asks of every exchange: unchanged answers, heads without bodies, encodings, and bodies that do not fit.

use std::io::{Read, Write};
use std::net::TcpStream;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::fixture::{ADA, Answer, Fixture, ask, post, tierkeep};
use crate::serve::{signal, start};

async fn send(fixture: &Fixture, method: Method, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/v1/users/{ADA}/heatmap?year=2026"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(fixture.app(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_unchanged_answer_has_the_headers_of_the_answer() {
    let fixture = Fixture::new().await;
    for encoding in ["gzip", "identity"] {
        let accept = ("accept-encoding", encoding);
        let full = send(&fixture, Method::GET, &[accept]).await;
        let tag = full.header("etag");
        assert_eq!(tag.starts_with("W/"), encoding == "gzip");

        for method in [Method::GET, Method::HEAD] {
            let unchanged = send(&fixture, method, &[accept, ("if-none-match", tag)]).await;

            assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
            for name in ["etag", "vary", "x-cache", "age"] {
                assert_eq!(unchanged.header(name), full.header(name), "{name} with {encoding}");
            }
            assert_eq!(full.header("vary"), "accept-encoding");
            for absent in ["content-length", "content-encoding", "content-type"] {
                assert!(!unchanged.headers.contains_key(absent), "{absent} with {encoding}");
            }
        }
    }
    let analytics = |tag: String| {
        let request = Request::get(format!("/v1/users/{ADA}/analytics")).header("if-none-match", tag);
        ask(fixture.app(), request.body(Body::empty()).unwrap())
    };
    let full = analytics(String::new()).await;
    let unchanged = analytics(full.header("etag").to_owned()).await;
    let vary = |answer: &Answer| format!("{:?}", answer.headers.get_all("vary").iter().collect::<Vec<_>>());
    assert_eq!((unchanged.status.as_u16(), vary(&unchanged)), (304, vary(&full)));
    assert!(vary(&full).contains("accept-language") && vary(&full).contains("accept-encoding"));
}

#[tokio::test]
async fn a_head_tells_the_length_of_the_answer_or_none() {
    let fixture = Fixture::new().await;
    let full = send(&fixture, Method::GET, &[]).await;

    let plain = send(&fixture, Method::HEAD, &[]).await;
    let packed = send(&fixture, Method::HEAD, &[("accept-encoding", "gzip")]).await;

    assert_eq!((plain.status.as_u16(), plain.body.len()), (200, 0));
    // the clock in the answer is written without zeros at its end, so answers of two moments differ by some digits
    let length: usize = plain.header("content-length").parse().unwrap();
    assert!(length.abs_diff(full.body.len()) <= 7, "{length} and {}", full.body.len());
    assert_eq!((packed.status.as_u16(), packed.header("content-encoding")), (200, "gzip"));
    assert!(!packed.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_client_that_accepts_no_encoding_is_told_so_before_anything_is_done() {
    let fixture = Fixture::new().await;
    for (accepted, status) in [
        ("gzip", 200),
        ("br", 200),
        ("", 200),
        ("*", 200),
        ("identity;q=0, gzip", 200),
        ("*;q=0, identity", 200),
        ("gzip;q=0", 200),
        ("identity;q=2", 200),
        ("identity; q=0.5, *;q=0", 200),
        ("*;q=0", 406),
        ("identity;q=0", 406),
        ("identity;q=0.000, br", 406),
        ("gzip;q=0, *;Q=0.0", 406),
        ("GZIP;q=0, IDENTITY;q=0", 406),
        ("br, *;q=0", 406),
    ] {
        let answer = send(&fixture, Method::GET, &[("accept-encoding", accepted)]).await;

        assert_eq!(answer.status.as_u16(), status, "{accepted:?}");
        if status == 406 {
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(answer.json()["type"], "urn:tierkeep:problem:not-acceptable");
            assert_eq!(answer.json()["accepted"], "gzip, identity");
        }
    }
    let order = Request::post("/v1/admin/cache/invalidate")
        .header("content-type", "application/json")
        .header("accept-encoding", "*;q=0")
        .body(Body::from("no JSON, and never read"))
        .unwrap();
    assert_eq!(ask(fixture.app(), order).await.status.as_u16(), 406);
}

#[tokio::test]
async fn a_body_must_be_an_object_with_fields_that_fit() {
    let fixture = Fixture::new().await;
    let bad = [
        ("[[],[],[],true]", None, Some("an object")),
        ("[]", None, Some("an object")),
        ("true", None, Some("an object")),
        (r#"{"all":1}"#, Some("all"), Some("true or false")),
        (r#"{"keys":"x"}"#, Some("keys"), Some("an array")),
        (r#"{"users":[1,"ada"]}"#, Some("users[1]"), Some("a UUID or an integer from -2^63 to 2^63-1")),
        (r#"{"every":true}"#, Some("every"), Some("keys, tags, users, all")),
    ];
    for (body, parameter, accepted) in bad {
        let answer = post(fixture.app(), "/v1/admin/cache/invalidate", body).await;

        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &problem["type"]),
            (422, &json!("urn:tierkeep:problem:unfit-body")),
            "{body}"
        );
        assert_eq!((problem["parameter"].as_str(), problem["accepted"].as_str()), (parameter, accepted), "{body}");
    }
    let answer = post(fixture.app(), "/v1/stats/batch", format!(r#"[["{ADA}"],"daily",null,null,null]"#)).await;
    assert_eq!(answer.status.as_u16(), 422);
    for (body, media_type, status) in [
        ("{", "application/json", 400),
        ("{} {}", "application/json", 400),
        ("{}", "text/plain", 415),
        ("", "", 415),
        (&*format!("{{\"keys\":[\"{}\"]}}", "x".repeat(70_000)), "application/json", 413),
    ] {
        let request = Request::post("/v1/admin/cache/invalidate").header("content-type", media_type);
        let answer = ask(fixture.app(), request.body(Body::from(body.to_owned())).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{}", &body[..body.len().min(40)]);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
}

/// One exchange over a socket: the head and the body.
fn exchange(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn what_the_socket_adds_is_right_as_well() {
    let fixture = Fixture::new().await;
    let (url, directory) = (fixture.url(), &fixture.directory);
    let (child, started) =
        start(tierkeep(directory).args(["serve", "--json", "--listen", "127.0.0.1:0", "--database", &url]));
    let address = started["address"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let send = |first: &str, more: &str| {
        exchange(&address, &format!("{first} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{more}\r\n"))
    };
    let of = |head: &str, name: &str| {
        head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    };
    let path = format!("/v1/users/{ADA}/heatmap?year=2026");

    let (full, body) = send(&format!("GET {path}"), "");
    let (head, nothing) = send(&format!("HEAD {path}"), "");
    assert_eq!((of(&head, "content-length"), nothing.as_str()), (Some(body.len().to_string()), ""));
    for method in ["GET", "HEAD"] {
        let (unchanged, nothing) = send(&format!("{method} {path}"), "if-none-match: *\r\n");
        assert!(unchanged.starts_with("http/1.1 304") && nothing.is_empty(), "{unchanged}\n{nothing}");
        assert_eq!(of(&unchanged, "vary"), of(&full, "vary"));
        for absent in ["content-length", "transfer-encoding", "content-type"] {
            assert_eq!(of(&unchanged, absent), None, "{unchanged}");
        }
    }
    let (status, problem) = send("OPTIONS *", "");
    assert!(
        status.starts_with("http/1.1 404") && serde_json::from_str::<Value>(&problem).is_ok(),
        "{status}\n{problem}"
    );
    let (status, _) = send("GET /livez", &"x: y\r\n".repeat(200));
    assert!(status.starts_with("http/1.1 431"), "{status}");
    signal(&child, "TERM");
    assert!(child.wait_with_output().unwrap().status.success());
}
