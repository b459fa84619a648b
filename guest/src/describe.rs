//! What this crate is and writes, as JSON.

use crate::map::RECORD_TYPES;
use tipline_ecs::{FIELDS, HOST_FIELDS, write_string};

/// The schema of [`crate::config::Config`]; a test holds the two together.
const CONFIG_SCHEMA: &str = include_str!("config.schema.json");

/// See [`crate::describe`].
pub(crate) fn describe() -> String {
    let mut out = String::with_capacity(8 * 1024);
    out.push_str("{\"name\":");
    write_string(env!("CARGO_PKG_NAME"), &mut out);
    out.push_str(",\"version\":");
    write_string(env!("CARGO_PKG_VERSION"), &mut out);
    out.push_str(",\"transports\":[\"rest\",\"taxii\"],\"record_types\":");
    for (index, name) in RECORD_TYPES.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        write_string(name, &mut out);
    }
    out.push_str("],\"fields\":");
    fields(FIELDS, &mut out);
    out.push_str(",\"host_fields\":");
    fields(HOST_FIELDS, &mut out);
    out.push_str(",\"config_schema\":");
    out.push_str(CONFIG_SCHEMA.trim());
    out.push('}');
    out
}

/// `{"field":"type",…}`, in the order of the table.
fn fields(table: &[(&str, &str)], out: &mut String) {
    for (index, (name, kind)) in table.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        write_string(name, out);
        out.push(':');
        write_string(kind, out);
    }
    out.push('}');
}
