use super::*;

/// Builds BTF the way the compiler lays it out.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn push(&mut self, name: &str, kind: u32, vlen: u32, third: u32, rest: &[u32]) {
        let name = self.string(name);
        for word in [name, kind << 24 | vlen, third].iter().chain(rest) {
            self.types.extend(word.to_ne_bytes());
        }
    }

    fn build(self) -> Vec<u8> {
        let mut data = Vec::new();
        let types = self.types.len() as u32;
        for word in [0x0001_eb9f, 24, 0, types, types, self.strings.len() as u32] {
            data.extend(u32::to_ne_bytes(word));
        }
        data.extend(self.types);
        data.extend(self.strings);
        data
    }
}

fn sample() -> Btf {
    let mut b = Builder::default();
    let (family, inner_member, num, queue, drop) = (
        b.string("skc_family"),
        b.string("skc_daddr"),
        b.string("skc_num"),
        b.string("queue"),
        b.string("DROP_LISTEN"),
    );
    b.push("u16", KIND_INT, 0, 2, &[16]); // 1
    b.push("", KIND_UNION, 1, 4, &[inner_member, 1, 0]); // 2
    b.push("queue", KIND_STRUCT, 1, 8, &[num, 1, 32]); // 3
    b.push("queue_t", KIND_TYPEDEF, 0, 3, &[]); // 4
    b.push("sock", KIND_STRUCT, 3, 24, &[family, 1, 0, 0, 2, 64, queue, 4, 128]); // 5
    b.push("", KIND_FUNC_PROTO, 3, 0, &[0, 1, 0, 1, 0, 1]); // 6
    b.push("tcp_check", KIND_FUNC, 1, 6, &[]); // 7
    b.push("", KIND_PTR, 0, 6, &[]); // 8
    b.push("btf_trace_kfree_skb", KIND_TYPEDEF, 0, 8, &[]); // 9
    b.push("reason", KIND_ENUM, 1, 4, &[drop, 40]); // 10
    let wanted = Wanted {
        structs: ["sock", "absent"].into(),
        functions: ["tcp_check"].into(),
        tracepoints: ["kfree_skb"].into(),
        enumerators: ["DROP_LISTEN"].into(),
    };
    Btf::parse(b.build(), &wanted).unwrap()
}

#[test]
fn finds_members_through_anonymous_unions_and_typedefs() {
    let btf = sample();
    assert_eq!(btf.offset("sock", "skc_family"), Some(0));
    assert_eq!(btf.offset("sock", "skc_daddr"), Some(8));
    assert_eq!(btf.offset("sock", "queue.skc_num"), Some(20));
    assert_eq!(btf.offset("sock", "nothing"), None);
    assert_eq!(btf.offset("absent", "skc_family"), None);
}

#[test]
fn finds_elements_of_arrays() {
    let mut b = Builder::default();
    let (registers, number) = (b.string("regs"), b.string("syscallno"));
    b.push("u64", KIND_INT, 0, 8, &[64]); // 1
    b.push("", KIND_ARRAY, 0, 0, &[1, 1, 31]); // 2
    b.push("", KIND_STRUCT, 1, 248, &[registers, 2, 0]); // 3
    b.push("pt_regs", KIND_STRUCT, 2, 264, &[0, 3, 0, number, 1, 2048]); // 4
    let structs = ["pt_regs"].into();
    let btf = Btf::parse(b.build(), &Wanted { structs, ..Wanted::default() }).unwrap();
    assert_eq!(btf.offset("pt_regs", "regs[0]"), Some(0));
    assert_eq!(btf.offset("pt_regs", "regs[4]"), Some(32));
    assert_eq!(btf.offset("pt_regs", "syscallno"), Some(256));
    assert_eq!(btf.size("pt_regs"), Some(264));
    for none in ["regs[31]", "regs[-1]", "regs[", "regs[x]", "syscallno[0]", "regs[1].x"] {
        assert_eq!(btf.offset("pt_regs", none), None, "{none}");
    }
}

#[test]
fn counts_arguments_and_reads_enumerators() {
    let btf = sample();
    assert_eq!(btf.arity("tcp_check"), Some(3));
    assert_eq!(btf.tracepoint_arity("kfree_skb"), Some(2));
    assert_eq!(btf.enumerator("DROP_LISTEN"), Some(40));
    assert!(!btf.has_function("tcp_absent"));
}

#[test]
fn types_that_contain_themselves_end() {
    let mut b = Builder::default();
    let member = b.string("wanted");
    // Anonymous members: of 1 itself, twice, so that there are two to the power of the depth.
    b.push("ring", KIND_STRUCT, 2, 8, &[0, 1, 0, 0, 1, 0]); // 1
    // 2 and 3 contain one another.
    b.push("one", KIND_STRUCT, 1, 8, &[0, 3, 8]); // 2
    b.push("", KIND_UNION, 2, 8, &[member, 0, 16, 0, 2, 8]); // 3
    // 4 and 5 are names of one another.
    b.push("name", KIND_TYPEDEF, 0, 5, &[]); // 4
    b.push("", KIND_CONST, 0, 4, &[]); // 5
    b.push("named", KIND_STRUCT, 1, 8, &[0, 4, 0]); // 6
    b.push("far", KIND_STRUCT, 1, 8, &[0, 3, u32::MAX]); // 7
    let structs = ["ring", "one", "named", "far"].into();
    let btf = Btf::parse(b.build(), &Wanted { structs, ..Wanted::default() }).unwrap();
    assert_eq!(btf.offset("ring", "wanted"), None);
    assert_eq!(btf.offset("one", "wanted"), Some(3), "it is there");
    assert_eq!(btf.offset("one", "absent"), None);
    assert_eq!(btf.offset("named", "wanted"), None);
    assert_eq!(btf.offset("far", "wanted"), None, "an offset that no structure can have");
}

#[test]
fn numbers_are_those_of_the_kernel() {
    let wanted = Wanted {
        functions: ["tcp_check"].into(),
        tracepoints: ["kfree_skb"].into(),
        ..Wanted::default()
    };
    let all = sample();
    let again = Btf::parse(all.numbers(), &wanted).unwrap();
    assert_eq!(again.types.len(), all.types.len());
    assert_eq!((&again.functions, &again.typedefs), (&all.functions, &all.typedefs));
    assert_eq!((again.functions.len(), again.typedefs.len()), (1, 1));
}

#[test]
fn refuses_what_is_no_btf() {
    let wanted = Wanted::default();
    assert!(matches!(Btf::parse(vec![0; 64], &wanted), Err(BtfError::Malformed(_))));
    assert!(matches!(Btf::parse(vec![], &wanted), Err(BtfError::Malformed(_))));
    let mut cut = Builder::default();
    cut.push("u16", KIND_INT, 0, 2, &[16]);
    let mut data = cut.build();
    data.truncate(30);
    assert!(matches!(Btf::parse(data, &wanted), Err(BtfError::Malformed(_))));
}
