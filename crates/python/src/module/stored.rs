//! Python values as they lie in the second level: whole numbers as text, plain values without pickle, the rest pickled.
//!
//! Where JSON or MessagePack was asked for, callers hand over what that gives back of a value, which is plain. Such a
//! store pickles nothing, reads no pickle, and takes no value that a store of another [`Dialect`] left there: it could
//! hold a tuple, which JSON never gives.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyException, PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

use super::ending::beneath;
use super::key::{bytes_of, text_of};
use super::value::{Kept, dumps, loads};
use crate::envelope::tree::{Broken, DEEPEST, Reader, Token};
use crate::envelope::{Compressor, EnvelopeError, Keyring, Mode, Opened};
use crate::remote::is_whole_number;

/// How values are wrapped.
#[derive(Debug)]
pub(super) struct Wrapping {
    pub(super) keyring: Keyring,
    pub(super) compressor: Compressor,
    pub(super) dialect: Dialect,
}

/// Which values there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Whatever can be pickled.
    #[default]
    Python,
    /// What JSON gives back.
    Json,
    /// What MessagePack gives back.
    MessagePack,
}

impl Dialect {
    /// The one of that name in settings.
    ///
    /// # Errors
    /// ValueError: there is none.
    pub(super) fn from_name(name: &str) -> PyResult<Self> {
        match name {
            "pickle" => Ok(Self::Python),
            "json" => Ok(Self::Json),
            "msgpack" => Ok(Self::MessagePack),
            other => {
                let message = format!("`{other}` is no serializer; accepted: pickle, json, msgpack");
                Err(PyValueError::new_err(message))
            }
        }
    }

    /// How its values are stored, if it has but one way.
    fn mode(self) -> Option<Mode> {
        match self {
            Self::Python => None,
            Self::Json => Some(Mode::Json),
            Self::MessagePack => Some(Mode::MessagePack),
        }
    }
}

impl Wrapping {
    /// The bytes of a value for a key. May run Python code: pickling does.
    ///
    /// # Errors
    /// What pickle raises; TypeError for what the dialect has not; ValueError for more than 512 MiB.
    pub(super) fn seal(&self, key: &[u8], value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        if let Some(text) = whole_number(value) {
            return Ok(text);
        }
        let (mode, payload) = match self.dialect.mode() {
            None => payload(value)?,
            Some(mode) => (mode, plain(value)?.ok_or_else(|| not_plain(value))?),
        };
        self.keyring
            .seal(key, mode, &payload, self.compressor)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The value of stored bytes; an error if they are none of ours, which is a miss. A pickle is read only
    /// after its signature was found right.
    pub(super) fn open(&self, py: Python<'_>, key: &[u8], stored: &[u8]) -> Result<Py<PyAny>, Unreadable> {
        match self.keyring.open(key, stored)? {
            Opened::Whole(text) => Ok(number(py, &text)?.unbind()),
            Opened::Value(mode, _) if self.dialect.mode().is_some_and(|own| own != mode) => {
                Err(EnvelopeError::OtherDialect.into())
            }
            Opened::Value(mode, payload) => value(py, mode, &payload),
        }
    }
}

impl Wrapping {
    /// A copy for this process of what was read; none of what only pickle could copy, if nothing is to be pickled.
    pub(super) fn kept(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Kept>> {
        if self.dialect == Dialect::Python { Kept::of(value).map(Some) } else { Kept::of_plain(value) }
    }
}

/// Why stored bytes are no value: each is a miss that is logged.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The envelope.
    Envelope(EnvelopeError),
    /// What is in it.
    Content(PyErr),
}

impl Unreadable {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Envelope(error) => error.to_string(),
            Self::Content(error) => error.to_string(),
        }
    }

    /// What is told once: of how many values it is so matters to nobody.
    pub(super) fn kind(&self, py: Python<'_>) -> String {
        match self {
            Self::Envelope(error) => error.to_string(),
            Self::Content(error) => error.get_type(py).to_string(),
        }
    }
}

/// What was said of values that cannot be read: a value is read again and again, and so are its like.
#[derive(Debug)]
pub(super) struct Complaints(Mutex<BTreeSet<String>>);

/// Reasons that are remembered; whatever more there are is not said.
const MOST_REASONS: usize = 100;

impl Complaints {
    pub(super) const fn nothing() -> Self {
        Complaints(Mutex::new(BTreeSet::new()))
    }

    /// Says why a value is a miss that should have been a hit, once of each kind.
    ///
    /// # Errors
    /// What is no failure to read: KeyboardInterrupt, SystemExit, MemoryError.
    pub(super) fn log(&self, py: Python<'_>, unreadable: Unreadable) -> PyResult<()> {
        let (reason, kind) = (unreadable.reason(), unreadable.kind(py));
        if let Unreadable::Content(error) = unreadable
            && (!error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyMemoryError>(py))
        {
            return Err(error);
        }
        {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if said.len() >= MOST_REASONS || !said.insert(kind) {
                return Ok(());
            }
        }
        beneath(|| {
            let logger = py.import("logging")?.call_method1("getLogger", ("tierkeep.cache",))?;
            logger.call_method1("warning", ("stored values are not used: %s", reason)).map(drop)
        })
    }
}

impl From<EnvelopeError> for Unreadable {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl From<PyErr> for Unreadable {
    fn from(error: PyErr) -> Self {
        Self::Content(error)
    }
}

impl From<Broken> for Unreadable {
    fn from(error: Broken) -> Self {
        Self::Content(PyValueError::new_err(error.to_string()))
    }
}

/// A whole number that is not too long, as text.
pub(super) fn whole_number(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let number = value.cast_exact::<PyInt>().ok()?;
    let text = match number.extract::<i64>() {
        Ok(small) => small.to_string().into_bytes(),
        // Python refuses to print what is too long.
        Err(_) => number.str().ok()?.to_str().ok()?.as_bytes().to_vec(),
    };
    is_whole_number(&text).then_some(text)
}

fn number<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    match text.parse::<i64>() {
        Ok(small) => Ok(PyInt::new(py, small).into_any()),
        Err(_) => py.get_type::<PyInt>().call1((text,)),
    }
}

fn payload(value: &Bound<'_, PyAny>) -> PyResult<(Mode, Vec<u8>)> {
    if value.is_none() {
        return Ok((Mode::None, Vec::new()));
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok((Mode::Bool, vec![u8::from(flag.is_true())]));
    }
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        return Ok((Mode::Float, number.value().to_bits().to_be_bytes().to_vec()));
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok((Mode::Text, bytes_of(text)?.into_owned()));
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return Ok((Mode::Bytes, bytes.as_bytes().to_vec()));
    }
    if let Some(tree) = plain(value)? {
        return Ok((Mode::Tree, tree));
    }
    Ok((Mode::Pickle, dumps(value)?.as_bytes().to_vec()))
}

/// The tree of a plain value; none of what is not.
fn plain(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    let mut tree = Writer { bytes: Vec::new(), seen: HashSet::new() };
    Ok(tree.write(value, 0)?.then_some(tree.bytes))
}

fn not_plain(value: &Bound<'_, PyAny>) -> PyErr {
    let kind = value.get_type().name().map_or_else(|_| "value".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "this {kind} cannot be stored without pickle: it is not plain, or nested deeper than {DEEPEST}"
    ))
}

/// A nested plain value on its way out.
struct Writer {
    bytes: Vec<u8>,
    /// Containers that can change and were met: a second time they are left to pickle, which keeps them one.
    seen: HashSet<usize>,
}

impl Writer {
    /// False for what is no nested plain value.
    fn write(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<bool> {
        if value.is_none() {
            return Ok(Token::None.write(&mut self.bytes));
        }
        if let Ok(flag) = value.cast_exact::<PyBool>() {
            return Ok(Token::Bool(flag.is_true()).write(&mut self.bytes));
        }
        if let Some(text) = whole_number(value) {
            return Ok(Token::Whole(&text).write(&mut self.bytes));
        }
        if let Ok(number) = value.cast_exact::<PyFloat>() {
            return Ok(Token::Float(number.value()).write(&mut self.bytes));
        }
        if let Ok(text) = value.cast_exact::<PyString>() {
            return Ok(Token::Text(&bytes_of(text)?).write(&mut self.bytes));
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            return Ok(Token::Bytes(bytes.as_bytes()).write(&mut self.bytes));
        }
        if depth >= DEEPEST {
            return Ok(false);
        }
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            return Ok(self.head(Token::Tuple, tuple.len()) && self.all(tuple.iter(), depth)?);
        }
        if !self.seen.insert(value.as_ptr() as usize) {
            return Ok(false);
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            // A copy: nobody else can change it meanwhile.
            let list = list.get_slice(0, list.len());
            return Ok(self.head(Token::List, list.len()) && self.all(list.iter(), depth)?);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            let dict = dict.copy()?;
            let parts = dict.iter().flat_map(|(key, value)| [key, value]);
            return Ok(self.head(Token::Dict, dict.len()) && self.all(parts, depth)?);
        }
        if let Ok(set) = value.cast_exact::<PySet>() {
            let members: Vec<_> = set.iter().collect();
            return Ok(self.head(Token::Set, members.len()) && self.all(members, depth)?);
        }
        Ok(false)
    }

    fn head<'a>(&mut self, kind: impl FnOnce(u32) -> Token<'a>, count: usize) -> bool {
        u32::try_from(count).is_ok_and(|count| kind(count).write(&mut self.bytes))
    }

    fn all<'py>(&mut self, values: impl IntoIterator<Item = Bound<'py, PyAny>>, depth: usize) -> PyResult<bool> {
        for value in values {
            if !self.write(&value, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn value(py: Python<'_>, mode: Mode, payload: &[u8]) -> Result<Py<PyAny>, Unreadable> {
    Ok(match (mode, payload) {
        (Mode::None, []) => py.None(),
        (Mode::Bool, [flag]) => PyBool::new(py, *flag != 0).to_owned().into_any().unbind(),
        (Mode::Float, bytes) => {
            let bits = bytes.try_into().map_err(|_| Broken)?;
            PyFloat::new(py, f64::from_bits(u64::from_be_bytes(bits))).into_any().unbind()
        }
        (Mode::Text, bytes) => text_of(py, bytes)?.unbind(),
        (Mode::Bytes, bytes) => PyBytes::new(py, bytes).into_any().unbind(),
        (Mode::Tree | Mode::Json | Mode::MessagePack, bytes) => {
            let mut reader = Reader::new(bytes);
            let value = build(py, &mut reader)?;
            if reader.next().is_some() {
                return Err(Broken.into());
            }
            value.unbind()
        }
        (Mode::Pickle, bytes) => loads(&PyBytes::new(py, bytes))?,
        _ => return Err(EnvelopeError::UnknownKind.into()),
    })
}

fn build<'py>(py: Python<'py>, reader: &mut Reader<'_>) -> Result<Bound<'py, PyAny>, Unreadable> {
    let some = |count: u32, reader: &mut Reader<'_>| {
        (0..count).map(|_| build(py, reader)).collect::<Result<Vec<_>, Unreadable>>()
    };
    Ok(match reader.next().ok_or(Broken)?? {
        Token::None => py.None().into_bound(py),
        Token::Bool(flag) => PyBool::new(py, flag).to_owned().into_any(),
        Token::Whole(text) => number(py, std::str::from_utf8(text).map_err(|_| Broken)?)?,
        Token::Float(number) => PyFloat::new(py, number).into_any(),
        Token::Text(text) => text_of(py, text)?,
        Token::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Token::List(count) => PyList::new(py, some(count, reader)?)?.into_any(),
        Token::Tuple(count) => PyTuple::new(py, some(count, reader)?)?.into_any(),
        Token::Set(count) => PySet::new(py, some(count, reader)?)?.into_any(),
        Token::Dict(count) => {
            let dict = PyDict::new(py);
            for _ in 0..count {
                let key = build(py, reader)?;
                dict.set_item(key, build(py, reader)?)?;
            }
            dict.into_any()
        }
    })
}
