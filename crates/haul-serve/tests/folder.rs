//! The endpoint over a plain socket. Owns no client: what is tested is what any client sees.

#![expect(clippy::unwrap_used, reason = "a failure in a test is a panic")]

use std::net::SocketAddr;

use haul_serve::{Credentials, Server, serve_folder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn serve(dir: &std::path::Path) -> Server {
    let creds = Credentials::generate().unwrap();
    serve_folder(dir, LOCAL, &creds).await.unwrap()
}

async fn ask(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_unsigned_request_is_denied_in_xml() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path()).await;
    for path in ["/", "/bucket", "/bucket/key"] {
        let answer = ask(server.addr(), path).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    }
    assert_eq!(server.endpoint_url(), format!("http://{}", server.addr()));
    server.stop().await;
}

#[tokio::test]
async fn stop_frees_the_port_and_drop_closes_connections() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path()).await;
    let addr = server.addr();
    server.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());

    let server = serve(dir.path()).await;
    let mut idle = TcpStream::connect(server.addr()).await.unwrap();
    idle.write_all(b"GET / HT").await.unwrap();
    drop(server);
    // Whether the peer sees a reset or an orderly end, nothing more comes.
    let mut rest = Vec::new();
    let read = idle.read_to_end(&mut rest).await;
    assert!(read.is_err() || rest.is_empty());
}

#[tokio::test]
async fn a_missing_folder_and_a_taken_port_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let creds = Credentials::new("key", "secret");
    let missing = serve_folder(&dir.path().join("no"), LOCAL, &creds).await.unwrap_err();
    assert!(missing.to_string().starts_with("failed to open the folder"));

    let first = serve(dir.path()).await;
    let taken = serve_folder(dir.path(), first.addr(), &creds).await.unwrap_err();
    assert!(taken.to_string().starts_with("failed to listen on"));
}
