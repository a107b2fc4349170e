//! TF2's graph of objects (`TrackableObjectGraph`), as far as it tells each variable's own name.

use std::collections::HashMap;

use crate::wire::{Field, fields};

/// The variables' own names (`Conv1/kernel`) by checkpoint key.
pub(super) fn full_names(graph: &[u8]) -> Result<HashMap<String, String>, String> {
    let mut names = HashMap::new();
    for node in fields(graph) {
        let (1, Field::Bytes(node)) = node? else { continue };
        for attribute in fields(node) {
            let (2, Field::Bytes(attribute)) = attribute? else { continue };
            let (mut full_name, mut key) = (None, None);
            for field in fields(attribute) {
                match field? {
                    (2, Field::Bytes(text)) => full_name = Some(String::from_utf8_lossy(text).into_owned()),
                    (3, Field::Bytes(text)) => key = Some(String::from_utf8_lossy(text).into_owned()),
                    _ => {}
                }
            }
            if let (Some(key), Some(full_name)) = (key, full_name)
                && !full_name.is_empty()
            {
                names.insert(key, full_name);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_of_one_variable() {
        // nodes { attributes { full_name: "a/k" checkpoint_key: "m/k" } }
        let attribute = [&[0x12, 3][..], b"a/k", &[0x1a, 3], b"m/k"].concat();
        let node = [&[0x12, attribute.len() as u8][..], &attribute].concat();
        let graph = [&[0x0a, node.len() as u8][..], &node].concat();
        let names = full_names(&graph).expect("valid");
        assert_eq!(names.get("m/k").map(String::as_str), Some("a/k"));
        assert!(full_names(&graph[..graph.len() - 1]).is_err());
    }
}
