//! Feeds arbitrary bytes to the record and batch parsers. Whatever parses must be written again
//! as the same bytes, except where the layout leaves a choice.
#![no_main]

use bytes::BytesMut;
use crossdock_proto_remoting::record::{BatchElements, MessageId, Records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for record in Records::new(data).flatten() {
        let mut out = BytesMut::new();
        let text = record.properties.as_str();
        // V1 records with topics beyond 127 bytes come back as V2, with another checksum if the
        // sender's was wrong: compare the fields.
        record
            .head
            .write_record(record.topic, record.body, text, &mut out)
            .expect("fits");
        let (again, len) =
            crossdock_proto_remoting::record::Record::parse(&out).expect("own record parses");
        assert_eq!(len, out.len());
        assert_eq!(again.head, record.head);
        assert_eq!((again.topic, again.body), (record.topic, record.body));
        assert_eq!(again.properties, record.properties);
        if record.head.physical_offset >= 0 {
            let id: MessageId = record
                .offset_id()
                .to_string()
                .parse()
                .expect("own id parses");
            assert_eq!(id, record.offset_id());
        }
        for (name, _) in record.properties.iter() {
            let edited = record.properties.edit().remove(name).to_text();
            assert!(
                edited.is_err() || !edited.is_ok_and(|t| t.contains(&format!("\u{2}{name}\u{1}")))
            );
        }
    }
    for element in BatchElements::new(data).flatten() {
        let mut out = BytesMut::new();
        element.write(&mut out).expect("fits");
        assert_eq!(BatchElements::new(&out).next(), Some(Ok(element)));
    }
});
