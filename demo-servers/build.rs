//! Generates client and server of the gRPC demo's service: what `src/protocols/grpc/echo.proto`
//! says, for which `protoc` would be needed.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let echo = Service::builder()
        .name("Echo")
        .package("demo")
        .method(method("unary", "Unary").build())
        .method(method("server_stream", "ServerStream").server_streaming().build())
        .method(method("client_stream", "ClientStream").client_streaming().build())
        .method(
            method("bidirectional_stream", "BidirectionalStream")
                .client_streaming()
                .server_streaming()
                .build(),
        );
    Builder::new().build_transport(false).compile(&[echo.build()]);
}

fn method(name: &str, route: &str) -> MethodBuilder {
    let message = "super::Message";
    let method =
        Method::builder().name(name).route_name(route).input_type(message).output_type(message);
    method.codec_path("tonic_prost::ProstCodec")
}
