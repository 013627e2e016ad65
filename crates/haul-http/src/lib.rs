//! haul's HTTP(S) backend: ranged or streamed GET, PUT to presigned URLs.
