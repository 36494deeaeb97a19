//! From the arguments of a call to the bytes of its key: the same for every spelling of one call.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::argument::{self, Bytes};

/// What a function takes.
pub(super) struct Parameters {
    /// The function, as messages name it.
    function: String,
    list: Vec<Parameter>,
    /// How many of them an argument without a name can be for.
    positional: usize,
    /// The name of `*args`.
    rest: Option<String>,
    /// The name of `**kwargs`.
    named_rest: Option<String>,
}

struct Parameter {
    name: Py<PyString>,
    by_name: bool,
    absent: Absent,
}

/// What a parameter is when a call says nothing of it.
enum Absent {
    Required,
    /// The bytes of its default, so that leaving it out and naming it are one call.
    Default(Box<[u8]>),
    /// A default without a stable key: whoever leaves it out means it, whatever it is.
    Unknown,
}

/// In place of a default that has no bytes.
const DEFAULT: u8 = b'-';

impl Parameters {
    pub(super) fn new(function: &str, described: Vec<(Bound<'_, PyString>, u8, Bound<'_, PyTuple>)>) -> PyResult<Self> {
        let mut parameters =
            Parameters { function: function.to_owned(), list: Vec::new(), positional: 0, rest: None, named_rest: None };
        for (name, kind, default) in described {
            let (by_position, by_name) = match kind {
                0 => (true, false),
                1 => (true, true),
                2 => {
                    parameters.rest = Some(name.extract()?);
                    continue;
                }
                3 => (false, true),
                _ => {
                    parameters.named_rest = Some(name.extract()?);
                    continue;
                }
            };
            parameters.positional += usize::from(by_position);
            let absent = match default.is_empty() {
                true => Absent::Required,
                false => {
                    let mut bytes = Bytes::new();
                    match argument::encode(&mut bytes, &default.get_item(0)?) {
                        Ok(()) => Absent::Default(bytes.as_slice().into()),
                        Err(_) => Absent::Unknown,
                    }
                }
            };
            parameters.list.push(Parameter { name: name.unbind(), by_name, absent });
        }
        Ok(parameters)
    }

    /// Appends the bytes of a call whose arguments Python has bound: one value for each parameter, in their order, and
    /// `nothing` for what the call does not give. Only for functions without `*args` and `**kwargs`.
    ///
    /// # Errors
    /// TypeError that names the argument which has no stable key.
    #[inline]
    pub(super) fn encode_bound<'a, 'py: 'a>(
        &self,
        out: &mut Bytes,
        values: impl Iterator<Item = Borrowed<'a, 'py, PyAny>>,
        nothing: &Py<PyAny>,
    ) -> PyResult<()> {
        for (parameter, value) in self.list.iter().zip(values) {
            match &parameter.absent {
                Absent::Default(bytes) if value.is(nothing) => out.extend(bytes),
                Absent::Unknown if value.is(nothing) => out.push(DEFAULT),
                _ => argument::encode(out, &value).map_err(|error| self.refused(value.py(), parameter, &error))?,
            }
        }
        Ok(())
    }

    /// Appends the bytes of a call. False: the function does not take these arguments.
    ///
    /// # Errors
    /// TypeError that names the argument which has no stable key.
    pub(super) fn encode(
        &self,
        out: &mut Bytes,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let py = args.py();
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let given = args.len();
        let mut used = 0;
        for (at, parameter) in self.list.iter().enumerate() {
            let named = match kwargs {
                Some(kwargs) if parameter.by_name => kwargs.get_item(parameter.name.bind(py))?,
                _ => None,
            };
            used += usize::from(named.is_some());
            let value = match (at < self.positional && at < given, named) {
                (true, Some(_)) => return Ok(false),
                (true, None) => Some(args.get_borrowed_item(at)?.to_owned()),
                (false, named) => named,
            };
            match (value, &parameter.absent) {
                (Some(value), _) => {
                    argument::encode(out, &value).map_err(|error| self.refused(py, parameter, &error))?;
                }
                (None, Absent::Required) => return Ok(false),
                (None, Absent::Default(bytes)) => out.extend(bytes),
                (None, Absent::Unknown) => out.push(DEFAULT),
            }
        }
        match &self.rest {
            Some(name) => {
                let rest = args.get_slice(self.positional.min(given), given);
                argument::encode(out, rest.as_any()).map_err(|error| self.refusal(py, &format!("*{name}"), &error))?;
            }
            None if given > self.positional => return Ok(false),
            None => {}
        }
        match (&self.named_rest, kwargs) {
            (None, kwargs) => Ok(kwargs.is_none_or(|kwargs| kwargs.len() == used)),
            (Some(name), kwargs) => {
                let rest = PyDict::new(py);
                if let Some(kwargs) = kwargs {
                    for (key, value) in kwargs {
                        let mut taken = false;
                        for parameter in self.list.iter().filter(|parameter| parameter.by_name) {
                            taken = taken || key.eq(parameter.name.bind(py))?;
                        }
                        if !taken {
                            rest.set_item(key, value)?;
                        }
                    }
                }
                argument::encode(out, rest.as_any()).map_err(|error| self.refusal(py, &format!("**{name}"), &error))?;
                Ok(true)
            }
        }
    }

    #[cold]
    fn refused(&self, py: Python<'_>, parameter: &Parameter, error: &PyErr) -> PyErr {
        self.refusal(py, parameter.name.bind(py).to_string_lossy().as_ref(), error)
    }

    /// The error that names the argument; errors of another kind stay what they are.
    pub(super) fn refusal(&self, py: Python<'_>, argument: &str, error: &PyErr) -> PyErr {
        if !error.is_instance_of::<PyTypeError>(py) {
            return error.clone_ref(py);
        }
        let refusal = PyTypeError::new_err(format!(
            "argument {argument} of {} has no stable key: {}; give `key=`, or the argument's class a method \
             __tierkeep_key__",
            self.function,
            error.value(py)
        ));
        refusal.set_cause(py, Some(error.clone_ref(py)));
        refusal
    }
}
