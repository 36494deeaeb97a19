//! Which of the candidates to take, given what each would save.
//!
//! The cost of a statement with a set of indexes is taken to be its cost without them, less what the best of them saves on
//! each table. What is found is checked against the planner afterwards.

/// Candidates up to which the best set is found by looking at all that could be better.
const EXACT: usize = 20;

/// What the choice is made from. Costs are of the whole workload, calls counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Matrix {
    /// What each candidate saves of each statement: statement, then candidate. 0 where it is of no use.
    pub(super) savings: Vec<Vec<f64>>,
    /// What it costs to keep each candidate up to date.
    pub(super) upkeep: Vec<f64>,
    /// Bytes of each candidate.
    pub(super) bytes: Vec<u64>,
    /// The table of each candidate.
    pub(super) tables: Vec<usize>,
}

/// How much may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) count: usize,
    pub(super) bytes: u64,
}

/// A set of candidates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// Their numbers, ascending.
    pub(super) chosen: Vec<usize>,
    /// Whether no other set is better by this model.
    pub(super) is_optimal: bool,
}

impl Matrix {
    /// What a set saves, less its upkeep.
    pub(super) fn net(&self, set: &[usize]) -> f64 {
        let saved: f64 = self.savings.iter().map(|row| self.saved(row, set)).sum();
        saved - set.iter().map(|candidate| self.upkeep[*candidate]).sum::<f64>()
    }

    /// What a set saves of one statement: the best of each table.
    fn saved(&self, row: &[f64], set: &[usize]) -> f64 {
        let mut best: Vec<(usize, f64)> = Vec::new();
        for candidate in set {
            let (table, saving) = (self.tables[*candidate], row[*candidate]);
            match best.iter_mut().find(|(of, _)| *of == table) {
                Some((_, most)) => *most = most.max(saving),
                None => best.push((table, saving)),
            }
        }
        best.iter().map(|(_, saving)| saving).sum()
    }

    /// Whether a set is within limits.
    pub(super) fn fits(&self, set: &[usize], limits: Limits) -> bool {
        set.len() <= limits.count && set.iter().map(|candidate| self.bytes[*candidate]).sum::<u64>() <= limits.bytes
    }

    /// A set, ascending, without those whose place the others take at no loss.
    fn without_idle(&self, mut set: Vec<usize>) -> Vec<usize> {
        set.sort_unstable();
        let mut at = 0;
        while at < set.len() {
            let without: Vec<usize> = set.iter().copied().filter(|candidate| *candidate != set[at]).collect();
            if self.net(&without) >= self.net(&set) - 1e-9 {
                set = without;
                at = 0;
            } else {
                at += 1;
            }
        }
        set
    }

    /// Candidates that save more than they cost and that no other one replaces at no cost.
    fn worthwhile(&self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.upkeep.len()).filter(|candidate| self.net(&[*candidate]) > 0.0).collect();
        let replaces = |by: usize, of: usize| {
            self.tables[by] == self.tables[of]
                && self.upkeep[by] <= self.upkeep[of]
                && self.bytes[by] <= self.bytes[of]
                && self.savings.iter().all(|row| row[by] >= row[of])
        };
        // Of two that replace each other the first stays.
        all.iter()
            .copied()
            .filter(|of| !all.iter().any(|by| by != of && replaces(*by, *of) && (!replaces(*of, *by) || by < of)))
            .collect()
    }
}

/// Chooses a set.
///
/// Exact if the candidates that are left for a table are at most 20 and the limits do not bind, or if they are at most 20
/// in all; greedy otherwise, with exchanges at the end.
pub(super) fn choose(matrix: &Matrix, limits: Limits) -> Choice {
    let worthwhile = matrix.worthwhile();
    let mut tables: Vec<usize> = worthwhile.iter().map(|candidate| matrix.tables[*candidate]).collect();
    tables.sort_unstable();
    tables.dedup();
    // Without limits what one table gets does not matter to the others.
    let mut chosen = Vec::new();
    let mut is_optimal = true;
    for table in tables {
        let own: Vec<usize> =
            worthwhile.iter().copied().filter(|candidate| matrix.tables[*candidate] == table).collect();
        if own.len() <= EXACT {
            chosen.extend(exact(matrix, &own, None));
        } else {
            is_optimal = false;
            chosen.extend(greedy(matrix, &own, None));
        }
    }
    chosen = matrix.without_idle(chosen);
    if matrix.fits(&chosen, limits) {
        return Choice { chosen, is_optimal };
    }
    let is_optimal = worthwhile.len() <= EXACT;
    let chosen =
        if is_optimal { exact(matrix, &worthwhile, Some(limits)) } else { greedy(matrix, &worthwhile, Some(limits)) };
    Choice { chosen: matrix.without_idle(chosen), is_optimal }
}

/// Branch and bound: a branch is left as soon as even all that is undecided could not make it better than the best set.
fn exact(matrix: &Matrix, candidates: &[usize], limits: Option<Limits>) -> Vec<usize> {
    let mut order = candidates.to_vec();
    order.sort_by(|a, b| matrix.net(&[*b]).total_cmp(&matrix.net(&[*a])).then(a.cmp(b)));
    // A good set to begin with cuts most branches.
    let mut best = greedy(matrix, candidates, limits);
    let mut most = matrix.net(&best);
    branch(matrix, &order, limits, &mut Vec::new(), &mut best, &mut most);
    best
}

fn branch(
    matrix: &Matrix,
    left: &[usize],
    limits: Option<Limits>,
    taken: &mut Vec<usize>,
    best: &mut Vec<usize>,
    most: &mut f64,
) {
    let net = matrix.net(taken);
    if net > *most + 1e-9 {
        *most = net;
        best.clone_from(taken);
    }
    let Some((next, rest)) = left.split_first() else { return };
    // What all together would save, kept up for nothing.
    let mut all = taken.clone();
    all.extend(left);
    let upkeep_of_left: f64 = left.iter().map(|candidate| matrix.upkeep[*candidate]).sum();
    if matrix.net(&all) + upkeep_of_left <= *most + 1e-9 {
        return;
    }
    taken.push(*next);
    if limits.is_none_or(|limits| matrix.fits(taken, limits)) {
        branch(matrix, rest, limits, taken, best, most);
    }
    taken.pop();
    branch(matrix, rest, limits, taken, best, most);
}

/// Takes what adds most, by byte where bytes are limited, then exchanges one for another as long as that helps.
fn greedy(matrix: &Matrix, candidates: &[usize], limits: Option<Limits>) -> Vec<usize> {
    let fits = |set: &[usize]| limits.is_none_or(|limits| matrix.fits(set, limits));
    let mut set: Vec<usize> = Vec::new();
    loop {
        let net = matrix.net(&set);
        let gain = |candidate: usize| {
            let mut with = set.clone();
            with.push(candidate);
            let gain = matrix.net(&with) - net;
            let per = if limits.is_some() { gain / matrix.bytes[candidate].max(1) as f64 } else { gain };
            (gain > 1e-9 && fits(&with)).then_some((per, candidate))
        };
        let next = candidates.iter().copied().filter(|candidate| !set.contains(candidate)).filter_map(gain);
        match next.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))) {
            Some((_, candidate)) => set.push(candidate),
            None => break,
        }
    }
    while let Some(better) = exchange(matrix, candidates, &set, &fits) {
        set = better;
    }
    set
}

/// A set with one candidate fewer, or another one in its place, that is better.
fn exchange<F: Fn(&[usize]) -> bool>(
    matrix: &Matrix,
    candidates: &[usize],
    set: &[usize],
    fits: &F,
) -> Option<Vec<usize>> {
    let net = matrix.net(set);
    let is_better = |other: &Vec<usize>| fits(other) && matrix.net(other) > net + 1e-9;
    for out in set {
        let without: Vec<usize> = set.iter().copied().filter(|candidate| candidate != out).collect();
        if is_better(&without) {
            return Some(without);
        }
        for candidate in candidates.iter().filter(|candidate| !set.contains(candidate)) {
            let mut other = without.clone();
            other.push(*candidate);
            if is_better(&other) {
                return Some(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
