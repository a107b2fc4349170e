//! Corrections that make scores behave like probabilities (TFOD's `calibration_builder`), fitted elsewhere and given in
//! the config.

use std::collections::BTreeMap;

/// The `calibration_config` message of the config.
#[derive(Clone, Debug, PartialEq)]
pub enum Calibration {
    /// `function_approximation`: one curve for the scores of all columns, background too.
    Curve(CalibrationCurve),
    /// `class_id_function_approximations`: a curve for each column, 0 being background; columns without one stay.
    CurveByColumn(BTreeMap<usize, CalibrationCurve>),
    /// `temperature_scaling_calibration`: logits are divided by this.
    Temperature(f32),
}

impl Calibration {
    /// Corrects rows of `columns` scores; for [`Temperature`](Self::Temperature), of logits.
    pub fn apply(&self, values: &mut [f32], columns: usize) {
        match self {
            Self::Curve(curve) => values.iter_mut().for_each(|value| *value = curve.at(*value)),
            Self::CurveByColumn(curves) => {
                for row in values.chunks_mut(columns.max(1)) {
                    for (column, curve) in curves {
                        if let Some(value) = row.get_mut(*column) {
                            *value = curve.at(*value);
                        }
                    }
                }
            }
            Self::Temperature(temperature) => values.iter_mut().for_each(|value| *value /= temperature),
        }
    }
}

/// A piecewise linear curve that is level before its first point and after its last.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationCurve {
    points: Vec<(f32, f32)>,
}

impl CalibrationCurve {
    /// The curve through these points `(x, y)`; `None` where there is none, where one is not a number, or where `x` does
    /// not rise from one to the next.
    pub fn new(points: Vec<(f32, f32)>) -> Option<Self> {
        let finite = points.iter().all(|(x, y)| x.is_finite() && y.is_finite());
        let rising = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (finite && rising && !points.is_empty()).then_some(Self { points })
    }

    /// The curve at `x`; what is not a number stays so.
    pub fn at(&self, x: f32) -> f32 {
        if x.is_nan() {
            return x;
        }
        let after = self.points.partition_point(|point| point.0 <= x);
        match (after.checked_sub(1).map(|i| self.points[i]), self.points.get(after)) {
            (Some((x0, y0)), Some(&(x1, y1))) => {
                let share = (x - x0) / (x1 - x0);
                (1.0 - share) * y0 + share * y1
            }
            (Some((_, y)), None) | (None, Some(&(_, y))) => y,
            (None, None) => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> CalibrationCurve {
        CalibrationCurve::new(vec![(0.0, 0.5), (0.5, 0.75), (1.0, 0.75)]).expect("rising")
    }

    #[test]
    fn between_points_straight_and_level_outside() {
        for (x, y) in [(-1.0, 0.5), (0.0, 0.5), (0.25, 0.625), (0.5, 0.75), (0.9, 0.75), (7.0, 0.75)] {
            assert_eq!(curve().at(x), y, "{x}");
        }
        assert!(curve().at(f32::NAN).is_nan());
        assert_eq!((curve().at(f32::INFINITY), curve().at(f32::NEG_INFINITY)), (0.75, 0.5));
    }

    #[test]
    fn a_column_without_a_curve_stays() {
        let mut scores = vec![0.25, 0.25, 0.25, 0.0, 1.0, 0.5];
        Calibration::CurveByColumn(BTreeMap::from([(1, curve()), (9, curve())])).apply(&mut scores, 3);
        assert_eq!(scores, [0.25, 0.625, 0.25, 0.0, 0.75, 0.5]);
        Calibration::Temperature(2.0).apply(&mut scores, 3);
        assert_eq!(scores[1], 0.3125);
    }

    #[test]
    fn points_that_do_not_rise_are_no_curve() {
        assert!(CalibrationCurve::new(vec![]).is_none());
        assert!(CalibrationCurve::new(vec![(0.0, 0.0), (0.0, 1.0)]).is_none());
        assert!(CalibrationCurve::new(vec![(f32::NAN, 0.0)]).is_none());
    }
}
