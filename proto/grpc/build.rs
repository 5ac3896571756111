//! Compiles our `.proto` files without a `protoc`: protox reads them, tonic and prost write the code. The descriptors are
//! kept beside it for the reflection service.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["messaging.proto"], ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".apache.rocketmq.v2.Message.body")
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
