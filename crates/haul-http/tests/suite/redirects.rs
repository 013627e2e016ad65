//! Redirects: where they lead, and what does not go along.

use haul_core::{ErrorKind, Hint};
use haul_testkit::http::{Act, HttpRules, HttpServer};

use crate::kit::{MIB, fails, pattern, ranges, read};

/// `me:pw` in base64.
const ME: &str = "Basic bWU6cHc=";

fn secured() -> HttpServer {
    let mut rules = HttpRules::default();
    rules.authorization = Some(ME.to_owned());
    HttpServer::with_rules(rules).unwrap()
}

#[tokio::test]
async fn credentials_come_from_the_url() {
    let server = secured();
    server.put("/a", pattern(2 * MIB));
    assert!(read(&server.url_as("me", "pw", "/a")).await.unwrap() == pattern(2 * MIB));
    let e = fails(&server.url("/a")).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied);
    assert_eq!(e.hint(), Some(&Hint::UrlCredentials));
    let e = fails(&server.url_as("me", "wrong", "/a")).await;
    assert_eq!(e.kind(), ErrorKind::AccessDenied);
    assert!(!format!("{e} {e:?}").contains("wrong"));
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    for status in [301, 302, 303, 307, 308] {
        let (here, there) = (secured(), HttpServer::start().unwrap());
        there.put("/b", pattern(3 * MIB));
        here.plan("/a", 0, Act::Redirect(status, "/a2".into()));
        here.plan("/a2", 0, Act::Redirect(status, there.url_as("x", "y", "/b?signed")));
        assert!(read(&here.url_as("me", "pw", "/a")).await.unwrap() == pattern(3 * MIB));
        let calls = here.calls();
        assert_eq!(calls.len(), 2, "later ranges go where it led");
        assert!(calls.iter().all(|call| call.header("authorization") == Some(ME)));
        assert_eq!(there.calls().len(), 3);
        assert!(there.calls().iter().all(|call| call.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn a_target_that_expired_is_looked_up_again() {
    for status in [403, 404, 410] {
        let (here, there) = (HttpServer::start().unwrap(), HttpServer::start().unwrap());
        there.put("/b1", pattern(4 * MIB));
        there.put("/b2", pattern(4 * MIB));
        here.plan("/a", 0, Act::Redirect(302, there.url("/b1")));
        here.plan_times("/a", 1, 99, Act::Redirect(302, there.url("/b1?fresh")));
        there.plan("/b1", 1, Act::Status(status, Vec::new()));
        assert!(read(&here.url("/a")).await.unwrap() == pattern(4 * MIB), "{status}");
        assert_eq!(here.calls().len(), 2);
        // Elsewhere there is another version.
        here.plan("/c", 0, Act::Redirect(302, there.url("/b1")));
        here.plan_times("/c", 0, 99, Act::Redirect(302, there.url("/b2")));
        there.plan("/b1", 1, Act::Status(status, Vec::new()));
        assert_eq!(fails(&here.url("/c")).await.kind(), ErrorKind::SourceChanged);
        // And gone is gone.
        here.plan_times("/d", 0, 99, Act::Redirect(302, there.url("/b1")));
        there.plan_times("/b1", 1, 99, Act::Status(status, Vec::new()));
        let e = fails(&here.url("/d")).await;
        assert!(matches!(e.kind(), ErrorKind::AccessDenied | ErrorKind::NotFound), "{e}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = HttpServer::start().unwrap();
    server.put("/a", "x");
    server.plan_times("/a", 0, 10, Act::Redirect(302, "/a".into()));
    assert_eq!(read(&server.url("/a")).await.unwrap(), b"x");
    server.forget_calls();
    server.plan_times("/a", 0, 99, Act::Redirect(302, "/a".into()));
    assert_eq!(fails(&server.url("/a")).await.kind(), ErrorKind::Protocol);
    assert_eq!(ranges(&server).len(), 11, "and are not tried again");

    for (status, to, kind) in [
        (302, "file:///etc/passwd", ErrorKind::Unsupported),
        (302, "http://[", ErrorKind::Protocol),
        (304, "/a", ErrorKind::Rejected),
    ] {
        server.plan("/b", 0, Act::Redirect(status, to.into()));
        assert_eq!(fails(&server.url("/b")).await.kind(), kind, "{status} {to}");
    }
    server.plan("/b", 0, Act::Status(302, Vec::new()));
    assert_eq!(fails(&server.url("/b")).await.kind(), ErrorKind::Protocol);
}
