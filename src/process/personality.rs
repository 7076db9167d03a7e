//! Execution domain; personality(2).

use crate::Problem;
use crate::bundle::spec::Personality;

const SECTION: &str = "config-linux.md#personality";

/// Domains, by name.
const DOMAINS: [(&str, u32); 2] = [("LINUX", 0x0000), ("LINUX32", 0x0008)];

/// The argument of personality(2).
///
/// # Errors
/// If the domain is unknown, or there is a flag: the spec defines none.
pub fn parse(personality: &Personality, at: &str) -> Result<u32, Problem> {
    if let Some(flag) = personality.flags.first() {
        let message = format!("personality flag {flag:?} is not supported: the specification defines none");
        return Err(Problem::new(format!("{at}/personality/flags/0"), message, SECTION));
    }
    let name = &personality.domain;
    DOMAINS.iter().find(|(n, _)| n == name).map(|(_, domain)| *domain).ok_or_else(|| {
        let message = format!("unknown personality domain {name:?}; must be LINUX or LINUX32");
        Problem::new(format!("{at}/personality/domain"), message, SECTION)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_domains_are_read() {
        let of =
            |domain: &str, flags: Vec<String>| parse(&Personality { domain: domain.into(), flags }, "/linux");
        assert_eq!(of("LINUX32", vec![]), Ok(8));
        assert_eq!(of("LINUX", vec![]), Ok(0));
        assert_eq!(of("BSD", vec![]).unwrap_err().pointer, "/linux/personality/domain");
        assert_eq!(of("LINUX", vec!["X".into()]).unwrap_err().pointer, "/linux/personality/flags/0");
    }
}
