//! Feeds arbitrary bytes to the frame decoder. Whatever decodes must encode again to a frame
//! that decodes to the same command.
#![no_main]

use bytes::BytesMut;
use crossdock_proto_remoting::header::send::SendMessage;
use crossdock_proto_remoting::{Command, Encoding, FrameDecoder, body, sign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let decoder = FrameDecoder::new(1 << 20);
    let mut buf = BytesMut::from(data);
    while let Ok(Some(command)) = decoder.decode(&mut buf) {
        let _ = SendMessage::parse(command.code, &command.ext);
        let _ = sign::content(&command);
        let _ = body::to_standard(&command.body);
        again(&command);
    }
});

fn again(command: &Command) {
    // A binary header has sixteen bits for these, and no way to tell an empty remark from none.
    if command.encoding == Encoding::Binary && i16::try_from(command.code).is_err() {
        return;
    }
    let mut out = BytesMut::new();
    command
        .encode(&mut out)
        .expect("a decoded command fits a frame");
    let mut decoded = FrameDecoder::default()
        .decode(&mut out)
        .expect("own frame decodes")
        .expect("own frame is whole");
    if command.encoding == Encoding::Json {
        // Unknown language numbers turn into a name.
        decoded.language = command.language;
    }
    assert_eq!(&decoded, command);
    assert!(out.is_empty());
}
