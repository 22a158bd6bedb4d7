//! A server that is played by a test: it answers by the words that it is asked in.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Answers on one connection until it ends. Of each command one word should have an answer; all others have none.
pub(super) async fn serve(stream: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let answer = match line.trim() {
            "HELLO" => Some("%0\r\n".to_owned()),
            "SETINFO" => Some("+OK\r\n".to_owned()),
            word => answer(word),
        };
        if let Some(answer) = answer
            && stream.write_all(answer.as_bytes()).await.is_err()
        {
            return;
        }
        line.clear();
    }
}
