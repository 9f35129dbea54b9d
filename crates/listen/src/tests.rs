//! Who stays and who goes when places run out, under tokio's paused time.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use futures::FutureExt as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

const LIMITS: Limits = Limits {
    connections: 4,
    greeting: Duration::from_secs(10),
    life: None,
    unread: Duration::from_mins(1),
    full: Full::CloseNew,
    drain: Duration::ZERO,
};

/// Answers the byte `k` by being known, `b` by being busy for good, and says each byte back.
struct Echo {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(limits: Limits) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (addr, stop) = (listener.addr(), CancellationToken::new());
        let talk = |mut stream: Stream, guest: Guest| async move {
            let held = Mutex::new(Vec::new());
            while let Ok(byte) = stream.read_u8().await {
                match byte {
                    b'k' => guest.known(),
                    b'b' => held.lock().unwrap().push(guest.busy()),
                    _ => drop(guest.busy()),
                }
                if stream.write_u8(byte).await.is_err() {
                    return;
                }
            }
        };
        let task = tokio::spawn(listener.serve("echo", limits, talk, stop.clone()));
        Self { addr, stop, task }
    }

    /// A new connection that has said these bytes.
    async fn guest(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        for byte in bytes {
            assert!(lives(&mut stream, *byte).await);
        }
        stream
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn lives(stream: &mut TcpStream, byte: u8) -> bool {
    stream.write_u8(byte).await.is_ok() && stream.read_u8().await.is_ok()
}

/// Whether the server has closed it; waits until it has, or for the newest one to be served.
async fn is_closed(stream: &mut TcpStream) -> bool {
    stream.read_u8().await.is_err()
}

#[tokio::test]
async fn the_oldest_stranger_goes_first_then_who_is_idle_for_longest() {
    let echo = Echo::start(LIMITS).await;
    let mut busy = echo.guest(b"kb").await;
    let mut idle = echo.guest(b"k.").await;
    let mut first = echo.guest(b".").await;
    let mut second = echo.guest(b".").await;

    let mut third = echo.guest(b"k").await;
    assert!(is_closed(&mut first).await);
    let mut fourth = echo.guest(b"kb").await;
    assert!(is_closed(&mut second).await);
    let mut fifth = echo.guest(b"kb").await;
    assert!(is_closed(&mut idle).await);
    let mut sixth = echo.guest(b"kb").await;
    assert!(is_closed(&mut third).await);
    // All are known and busy.
    let mut seventh = TcpStream::connect(echo.addr).await.unwrap();
    assert!(is_closed(&mut seventh).await);
    for stream in [&mut busy, &mut fourth, &mut fifth, &mut sixth] {
        assert!(lives(stream, b'.').await);
    }
    echo.stop().await;
}

#[tokio::test]
async fn where_anyone_may_ask_the_oldest_goes_though_it_is_busy() {
    let limits = Limits {
        full: Full::CloseOldest,
        ..LIMITS
    };
    let echo = Echo::start(limits).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(echo.guest(b"kb").await);
    }
    let _new = echo.guest(b"k").await;
    assert!(is_closed(&mut busy[0]).await);
    for stream in &mut busy[1..] {
        assert!(lives(stream, b'.').await);
    }
    echo.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_become_known_in_time_goes_whatever_it_says() {
    let echo = Echo::start(LIMITS).await;
    let mut silent = echo.guest(b"").await;
    let mut talking = echo.guest(b"..").await;
    let mut known = echo.guest(b"k").await;
    assert!(is_closed(&mut silent).await);
    assert!(is_closed(&mut talking).await);
    sleep(Duration::from_hours(1)).await;
    assert!(lives(&mut known, b'.').await);
    echo.stop().await;
}

/// Sends without end to a client that has become known.
async fn pour(mut stream: Stream, guest: Guest, ended: mpsc::UnboundedSender<io::ErrorKind>) {
    guest.known();
    let error = loop {
        if let Err(error) = stream.write_all(&[b'x'; 4096]).await {
            break error;
        }
    };
    let _ = ended.send(error.kind());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_goes_and_one_that_reads_stays() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let connections = Arc::new(Connections::default());
    let listener = listener.counted(&connections);
    let (addr, stop) = (listener.addr(), CancellationToken::new());
    let (ended, mut ends) = mpsc::unbounded_channel();
    let talk = move |stream, guest| pour(stream, guest, ended.clone());
    let server = tokio::spawn(listener.serve("pour", LIMITS, talk, stop.clone()));
    let _silent = TcpStream::connect(addr).await.unwrap();
    assert_eq!(ends.recv().await, Some(io::ErrorKind::TimedOut));
    assert_eq!(connections.closed(Closed::Unread), 1);

    // Far longer than the time in which it has to read something. Each time it reads more than the system keeps for the two of
    // them, so that the server writes again.
    let mut reads = TcpStream::connect(addr).await.unwrap();
    let mut some = vec![0; 16 << 20];
    for _ in 0..6 {
        sleep(LIMITS.unread / 2).await;
        // A paused clock jumps to the next timer while a task waits for the kernel: the read runs on the real clock.
        tokio::time::resume();
        reads.read_exact(&mut some).await.unwrap();
        tokio::time::pause();
    }
    assert!(ends.try_recv().is_err());
    stop.cancel();
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_its_life_a_connection_finishes_its_request_within_the_grace() {
    let limits = Limits {
        life: Some(Lifetime {
            age: Duration::from_mins(1),
            grace: Duration::from_secs(30),
        }),
        ..LIMITS
    };
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let connections = Arc::new(Connections::default());
    let listener = listener.counted(&connections);
    let (addr, stop) = (listener.addr(), CancellationToken::new());
    // Says each byte back after so many seconds.
    let talk = |mut stream: Stream, guest: Guest| async move {
        guest.known();
        loop {
            let byte = tokio::select! {
                byte = stream.read_u8() => byte,
                () = guest.ends() => return,
            };
            let Ok(byte) = byte else { return };
            let _busy = guest.busy();
            sleep(Duration::from_secs(byte.into())).await;
            if stream.write_u8(byte).await.is_err() {
                return;
            }
        }
    };
    let server = tokio::spawn(listener.serve("slow", limits, talk, stop.clone()));
    let begun = tokio::time::Instant::now();
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let mut slow = TcpStream::connect(addr).await.unwrap();
    let mut slower = TcpStream::connect(addr).await.unwrap();
    sleep(Duration::from_secs(50)).await;
    slow.write_u8(20).await.unwrap();
    slower.write_u8(200).await.unwrap();
    assert!(is_closed(&mut idle).await);
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(slow.read_u8().await.unwrap(), 20, "an answer is not cut");
    assert!(is_closed(&mut slow).await);
    assert_eq!(begun.elapsed().as_secs(), 70);
    assert!(is_closed(&mut slower).await);
    assert_eq!(begun.elapsed().as_secs(), 90, "the grace has an end");
    assert_eq!(connections.closed(Closed::Overdue), 3);
    stop.cancel();
    server.await.unwrap();
}

/// What a client of HTTP/2 sends and the server does not read yet is kept in memory. The server's first frames say how much
/// that may be: hyper's own defaults are 1 MiB of a request and of a connection.
#[tokio::test]
async fn a_client_may_send_little_that_is_not_read() {
    let heads = Heads {
        bytes: 16 << 10,
        streams: 100,
        time: Duration::from_secs(30),
    };
    let (mut client, server) = tokio::io::duplex(64 << 10);
    let http = Http::new("test", heads, CancellationToken::new());
    let answer = |_| std::future::pending::<::http::Response<String>>();
    let serving = tokio::spawn(async move { http.talk(server, answer).await });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    client.write_all(preface).await.unwrap();
    client.write_all(&settings).await.unwrap();
    let (mut streams, mut of_stream, mut of_connection) = (None, None, 65_535);
    while of_connection == 65_535 {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut frame = vec![0; length as usize];
        client.read_exact(&mut frame).await.unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match head[3] {
            // SETTINGS: an id of two bytes and a number each.
            4 => {
                for setting in frame.chunks(6) {
                    match setting[1] {
                        3 => streams = Some(number(&setting[2..])),
                        4 => of_stream = Some(number(&setting[2..])),
                        _ => {}
                    }
                }
            }
            // WINDOW_UPDATE of the connection.
            8 => of_connection += number(&frame),
            _ => {}
        }
    }
    let said = (streams, of_stream, of_connection);
    assert_eq!(said, (Some(100), Some(64 << 10), 256 << 10));
    serving.abort();
}

/// Strangers can use up the process's file descriptors before the places.
#[tokio::test]
async fn out_of_file_descriptors_the_oldest_stranger_goes() {
    let places = Arc::new(Places::new("test", LIMITS, Arc::default()));
    let enter = || Places::enter(&places, Ipv4Addr::LOCALHOST.into()).unwrap();
    let (known, first, second) = (enter(), enter(), enter());
    known.known();
    let _busy = known.busy();
    let has_gone = |guest: &Guest| guest.must_go().now_or_never().is_some();
    let gone = || [&known, &first, &second].map(has_gone);
    assert!(!places.cannot_accept(&io::ErrorKind::ConnectionAborted.into()));
    assert_eq!(gone(), [false; 3]);
    let out_of_files = io::Error::from_raw_os_error(24);
    assert!(out_of_files.to_string().contains("Too many open files"));
    assert!(places.cannot_accept(&out_of_files));
    assert_eq!(gone(), [false, true, false]);
    assert!(places.cannot_accept(&out_of_files));
    assert_eq!(gone(), [false, true, true]);
    assert!(
        !places.cannot_accept(&out_of_files),
        "none is left to close"
    );
}
