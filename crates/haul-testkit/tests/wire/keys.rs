//! Odd keys survive the trip.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use haul_testkit::sizes::ODD_KEYS;

use crate::client::{BUCKET, start};

#[tokio::test]
async fn every_odd_key_makes_a_round_trip() {
    let (server, s3) = start().await;
    for key in ODD_KEYS {
        let body = ByteStream::from(key.as_bytes().to_vec());
        let put = s3.put_object().bucket(BUCKET).key(*key).body(body).send().await;
        put.unwrap_or_else(|e| panic!("{key:?}: {e:?}"));
        assert!(server.store().object(BUCKET, key).is_some(), "{key:?} was stored as another");
        let call = server.calls().list().pop().unwrap();
        assert_eq!(call.key(), Some(*key), "recorded as another");
    }
    assert_eq!(server.store().keys(BUCKET).len(), ODD_KEYS.len());
    for key in ODD_KEYS {
        let got = s3.get_object().bucket(BUCKET).key(*key).send().await;
        let got = got.unwrap_or_else(|e| panic!("{key:?}: {e:?}"));
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), key.as_bytes(), "{key:?}");
    }
    let list = s3.list_objects_v2().bucket(BUCKET).encoding_type(EncodingType::Url);
    let list = list.send().await.unwrap();
    let mut sorted = ODD_KEYS.to_vec();
    sorted.sort_unstable();
    let listed: Vec<_> = list.contents().iter().map(|o| decode(o.key().unwrap())).collect();
    assert_eq!(listed, sorted);
}

fn decode(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8().unwrap().into_owned()
}
