//! Version numbers of the runtime-spec; SemVer 2.0.0.

/// The major, minor and patch number of a version of SemVer 2.0.0; `None` if it is not one.
pub(crate) fn parse_semver(version: &str) -> Option<[u64; 3]> {
    let identifier =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let plain = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0'))
    };
    let (version, build) = version.split_once('+').map_or((version, None), |(v, b)| (v, Some(b)));
    let (core, pre) = version.split_once('-').map_or((version, None), |(v, p)| (v, Some(p)));
    let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let good = build.is_none_or(|b| b.split('.').all(identifier))
        && pre.is_none_or(|p| p.split('.').all(|i| identifier(i) && (!numeric(i) || plain(i))));
    let mut numbers = core.split('.').map(|n| plain(n).then(|| n.parse::<u64>().ok()).flatten());
    let parsed = [numbers.next()??, numbers.next()??, numbers.next()??];
    (good && numbers.next().is_none()).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_of_semver_are_read() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0+dev", "1.0.0-rc1", "1.0.0-rc.1+a.b-c", "1.10.20"] {
            assert_eq!(parse_semver(good).map(|v| v[0]), Some(1), "{good}");
        }
        for bad in
            ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1.0.0-01", "v1.0.0", "1.0.x", "1.0.-1"]
        {
            assert_eq!(parse_semver(bad), None, "{bad:?}");
        }
    }
}
