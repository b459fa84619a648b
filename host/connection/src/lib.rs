//! How a server is reached, a feed as well as Elasticsearch: whom to trust ([`tls`]).

pub mod tls;
