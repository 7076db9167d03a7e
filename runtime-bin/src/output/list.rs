//! The table of `list`.

use orlop::container::State;

const HEADER: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

/// The minimum width of a column.
const MIN_WIDTH: usize = 12;

/// The minimum space between two columns.
const GAP: usize = 3;

/// Aligned columns below a header.
pub(crate) fn list_table(states: &[State]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(states.iter().map(row));
    let mut widths = [MIN_WIDTH; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count() + GAP);
        }
    }
    let mut out = String::with_capacity(rows.len() * 128);
    for row in &rows {
        for (cell, width) in row[..5].iter().zip(widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        out.push_str(&row[5]);
        out.push('\n');
    }
    out
}

fn row(state: &State) -> [String; 6] {
    [
        state.id.clone(),
        state.pid.to_string(),
        state.status.to_string(),
        state.bundle.display().to_string(),
        state.created.clone(),
        state.owner.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use orlop::container::Status;

    #[test]
    fn the_header_is_printed_without_containers() {
        let expected = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
        assert_eq!(list_table(&[]), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let state = State {
            oci_version: String::new(),
            id: "c1".into(),
            pid: 18375,
            status: Status::Running,
            bundle: "/tmp/orlop-cli/b".into(),
            rootfs: "/tmp/orlop-cli/b/rootfs".into(),
            created: "2026-11-21T16:45:44.438465411Z".into(),
            annotations: std::collections::BTreeMap::default(),
            owner: "root".into(),
        };
        assert_eq!(
            list_table(&[state]),
            "ID          PID         STATUS      BUNDLE             CREATED                          OWNER\n\
             c1          18375       running     /tmp/orlop-cli/b   2026-11-21T16:45:44.438465411Z   root\n"
        );
    }
}
