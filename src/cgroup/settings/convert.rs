//! Conversion from the scales of v1 to those of v2.

/// `cpu.shares` (2 to 262144) as `cpu.weight` (1 to 10000).
///
/// A curve through the minimum, default and maximum of both scales (1024 shares are weight 100), as current runtimes
/// use it. The older linear conversion turned the default of 1024 shares into a weight of 39, less than that of a cgroup
/// without a weight.
pub(super) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = f64::from(shares as u32).log2();
            let exponent = l.mul_add(l, 125.0 * l) / 612.0 - 7.0 / 34.0;
            // Without the subtraction, a rounding error could turn 100 into 101.
            (10_f64.powf(exponent) - 1e-9).ceil().clamp(1.0, 10_000.0) as u64
        }
    }
}

/// A v1 `blkio.weight` (10 to 1000) as `io.weight` (1 to 10000).
pub(super) fn io_weight(weight: u16) -> u64 {
    let weight = u64::from(weight.clamp(10, 1000));
    1 + (weight - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_shares_become_weights_from_1_to_10000() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000), (1, 1), (300_000, 10_000)] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        let mut last = 0;
        for shares in (2..262_144).step_by(97) {
            let weight = cpu_weight(shares);
            assert!(weight >= last && (1..=10_000).contains(&weight));
            last = weight;
        }
    }

    #[test]
    fn blkio_weights_become_io_weights() {
        assert_eq!((io_weight(10), io_weight(1000), io_weight(500)), (1, 10_000, 4950));
    }
}
