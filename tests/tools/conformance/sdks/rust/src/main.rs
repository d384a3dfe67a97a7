//! The smallest service of the Rust SDK that checks request identity: conformance ADDRESS KEY
use restate_sdk::prelude::*;

#[restate_sdk::service]
trait Greeter {
    async fn greet(name: String) -> HandlerResult<String>;
}

struct GreeterImpl;

impl Greeter for GreeterImpl {
    async fn greet(&self, _: Context<'_>, name: String) -> HandlerResult<String> {
        Ok(name)
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let endpoint = Endpoint::builder().bind(GreeterImpl.serve()).identity_key(&arguments[2]).unwrap().build();
    HttpServer::new(endpoint).listen_and_serve(arguments[1].parse().unwrap()).await;
}
