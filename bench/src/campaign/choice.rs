//! Which kernels and components a campaign is made on, where it is not all.

use std::collections::BTreeMap;
use std::fmt;

use kd_campaign::{Plan, Subject};
use thiserror::Error;

use super::session::CampaignError;
use super::{kernels, subjects};

/// Names; all that there are where none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Kernels, by their layouts' names.
    pub kernels: Vec<String>,
    /// Components that are made to fail.
    pub components: Vec<String>,
}

/// A name that cannot be chosen.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// There is no such thing.
    #[error("no {what} `{name}` in a campaign: there are {known}")]
    Unknown {
        /// A kernel or a component.
        what: &'static str,
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A kernel that this machine cannot run.
    #[error("kernel `{0}` cannot run on this machine ({1}); leave it out of --kernels")]
    Unavailable(String, String),
}

impl Choice {
    /// The chosen kernels, in the order of results, and those of a whole campaign that this machine cannot run.
    ///
    /// # Errors
    /// See [`ChoiceError`].
    pub fn kernels(&self) -> Result<(Vec<String>, BTreeMap<String, String>), ChoiceError> {
        let (available, unavailable) = kernels();
        if self.kernels.is_empty() {
            return Ok((available, unavailable));
        }
        if let Some((name, why)) = unavailable.iter().find(|(name, _)| self.kernels.contains(name)) {
            return Err(ChoiceError::Unavailable(name.clone(), why.clone()));
        }
        Ok((among("kernel", available, String::as_str, &self.kernels)?, BTreeMap::new()))
    }

    /// The chosen components, in the order of results.
    ///
    /// # Errors
    /// One that there is not, or whose code cannot be had.
    pub fn subjects(&self) -> Result<Vec<Subject>, CampaignError> {
        Ok(among("component", subjects()?, |subject| &subject.name, &self.components)?)
    }

    /// What a plan was made on.
    ///
    /// # Errors
    /// The code of components cannot be had.
    pub fn of(plan: &Plan) -> Result<Choice, CampaignError> {
        let unless_all = |chosen: Vec<String>, all: usize| if chosen.len() == all { Vec::new() } else { chosen };
        let components = plan.components().into_iter().map(String::from).collect();
        Ok(Choice {
            kernels: unless_all(plan.kernels.clone(), kernels().0.len()),
            components: unless_all(components, subjects()?.len()),
        })
    }
}

/// As arguments of the command line; nothing for all.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (option, names) in [("--kernels", &self.kernels), ("--components", &self.components)] {
            if !names.is_empty() {
                write!(f, " {option} {}", names.join(","))?;
            }
        }
        Ok(())
    }
}

/// Those of a name that is wanted; all where none is.
fn among<T>(
    what: &'static str,
    all: Vec<T>,
    name: impl Fn(&T) -> &str,
    wanted: &[String],
) -> Result<Vec<T>, ChoiceError> {
    if let Some(unknown) = wanted.iter().find(|wanted| !all.iter().any(|one| name(one) == **wanted)) {
        let known = all.iter().map(&name).collect::<Vec<_>>().join(", ");
        return Err(ChoiceError::Unknown { what, name: unknown.clone(), known });
    }
    Ok(all.into_iter().filter(|one| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name(one))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn what_is_named_is_chosen_in_the_order_of_results() {
        let chosen = |wanted: &[&str]| {
            among("kernel", all(), String::as_str, &wanted.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["c", "a"]), Ok(vec!["a".into(), "c".into()]));
        assert_eq!(chosen(&[]), Ok(all()));
        let refused = chosen(&["a", "d"]).expect_err("there is no d");
        assert_eq!(refused.to_string(), "no kernel `d` in a campaign: there are a, b, c");
    }

    #[test]
    fn a_choice_is_told_as_it_is_made() {
        let choice = Choice { kernels: all(), components: vec!["jfs".into()] };
        assert_eq!(choice.to_string(), " --kernels a,b,c --components jfs");
        assert_eq!(Choice::default().to_string(), "");
    }
}
