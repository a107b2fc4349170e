//! The learning rate at a step, as TFOD's `utils/learning_schedules.py` defines it.

/// One of TFOD's learning rate schedules. Steps count from 0; rates are those of the config.
#[derive(Clone, Debug, PartialEq)]
pub enum LearningSchedule {
    /// The same rate at every step.
    Constant {
        /// The rate.
        rate: f64,
    },
    /// `exponential_decay_with_burnin`.
    Exponential {
        /// The rate at step 0 (after the burn-in).
        base: f64,
        /// Steps between two decays.
        decay_steps: f64,
        /// What the rate is multiplied by at each decay.
        decay_factor: f64,
        /// Whether the rate falls in stairs rather than smoothly.
        staircase: bool,
        /// The rate of the burn-in; 0 means the base rate.
        burnin_rate: f64,
        /// Steps of the burn-in.
        burnin_steps: u64,
        /// The rate never falls below this.
        min_rate: f64,
    },
    /// `manual_stepping`.
    Manual {
        /// The rate before the first boundary.
        initial: f64,
        /// From which step on which rate holds, in growing order of steps.
        steps: Vec<(u64, f64)>,
        /// Whether the rate climbs linearly from the initial one to the first boundary's.
        warmup: bool,
    },
    /// `cosine_decay_with_warmup`.
    Cosine {
        /// The rate after the warm-up.
        base: f64,
        /// The step at which the rate reaches 0.
        total_steps: u64,
        /// The rate at step 0.
        warmup_rate: f64,
        /// Steps over which the rate climbs from the warm-up rate to the base.
        warmup_steps: u64,
        /// Steps for which the base rate is held before it falls.
        hold_steps: u64,
    },
}

impl LearningSchedule {
    /// The rate at `step`.
    pub fn at(&self, step: u64) -> f64 {
        let t = step as f64;
        match *self {
            Self::Constant { rate } => rate,
            Self::Exponential { base, decay_steps, decay_factor, staircase, burnin_rate, burnin_steps, min_rate } => {
                let burnin = if burnin_rate == 0.0 { base } else { burnin_rate };
                let mut exponent = (t - burnin_steps as f64) / decay_steps;
                if staircase {
                    exponent = exponent.floor();
                }
                let rate = if step < burnin_steps { burnin } else { base * decay_factor.powf(exponent) };
                rate.max(min_rate)
            }
            Self::Manual { initial, ref steps, warmup } => {
                if let (true, Some(&(first, rate))) = (warmup, steps.first())
                    && step < first
                {
                    return initial + (rate - initial) / first as f64 * t;
                }
                steps.iter().rev().find(|(from, _)| step >= *from).map_or(initial, |&(_, rate)| rate)
            }
            Self::Cosine { base, total_steps, warmup_rate, warmup_steps, hold_steps } => {
                if step > total_steps {
                    return 0.0;
                }
                if step < warmup_steps {
                    return warmup_rate + (base - warmup_rate) / warmup_steps as f64 * t;
                }
                let start = (warmup_steps + hold_steps) as f64;
                if hold_steps > 0 && t <= start {
                    return base;
                }
                let progress = (t - start) / (total_steps as f64 - start);
                0.5 * base * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_steps_hold_from_their_step_on() {
        let s = LearningSchedule::Manual { initial: 0.1, steps: vec![(10, 0.01), (20, 0.001)], warmup: false };
        assert_eq!([0, 9, 10, 19, 20, 1000].map(|t| s.at(t)), [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]);
    }

    #[test]
    fn warm_up_climbs_to_the_first_boundary() {
        let s = LearningSchedule::Manual { initial: 0.0, steps: vec![(4, 0.4), (8, 0.1)], warmup: true };
        assert_eq!([0, 2, 4, 8].map(|t| s.at(t)), [0.0, 0.2, 0.4, 0.1]);
    }

    #[test]
    fn cosine_starts_at_the_base_and_ends_at_zero() {
        let s = LearningSchedule::Cosine {
            base: 1.0,
            total_steps: 100,
            warmup_rate: 0.5,
            warmup_steps: 10,
            hold_steps: 10,
        };
        assert_eq!(s.at(0), 0.5);
        assert_eq!(s.at(15), 1.0);
        assert!((s.at(60) - 0.5).abs() < 1e-12);
        assert!(s.at(100).abs() < 1e-12);
        assert_eq!(s.at(101), 0.0);
    }

    #[test]
    fn exponential_decays_in_stairs_after_the_burn_in() {
        let s = LearningSchedule::Exponential {
            base: 1.0,
            decay_steps: 10.0,
            decay_factor: 0.5,
            staircase: true,
            burnin_rate: 0.2,
            burnin_steps: 5,
            min_rate: 0.3,
        };
        // The floor holds during the burn-in too, as in TFOD.
        assert_eq!([0, 5, 14, 15, 100].map(|t| s.at(t)), [0.3, 1.0, 1.0, 0.5, 0.3]);
    }
}
