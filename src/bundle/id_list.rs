//! Lists of CPUs or memory nodes; "List format" in cpuset(7).

use std::ops::RangeInclusive;

/// The highest number in a list of CPUs or memory nodes, above what a kernel can be built for.
const LIST_MAX: u32 = 65_535;

/// Reads a list of CPUs or memory nodes such as `0-3,7`. White space around numbers is allowed.
/// The ranges are in the order of the text.
///
/// # Errors
/// Names the part that is neither a number nor a range. An empty list is an error.
pub fn parse_id_list(text: &str) -> Result<Vec<RangeInclusive<u32>>, String> {
    let number = |digits: &str| {
        let digits = digits.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten().filter(|n| *n <= LIST_MAX)
    };
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let range = match part.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|n| (n, n)),
        };
        match range {
            Some((first, last)) if first <= last => ranges.push(first..=last),
            _ => return Err(format!("{part:?} is neither a number nor a range such as 0-3")),
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read_and_others_refused() {
        assert_eq!(parse_id_list("0-3, 7").unwrap(), [0..=3, 7..=7]);
        for bad in ["", ",", "1,", "3-1", "a", "-1", "1-", "+1", "99999", "1--2", "0x1"] {
            assert!(parse_id_list(bad).is_err(), "{bad:?}");
        }
    }
}
