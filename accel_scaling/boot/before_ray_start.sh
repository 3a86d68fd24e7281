# Sourced on every node right before a start command, which may be any program: it lets `ray start` find this package
# wherever that runs in the command, and asks it to confirm the node (accel_scaling.boot.start_hook), by variables alone.
# Nothing is asked of `ray` here: it may come with what the command activates.
# $ACCEL_SCALING_BUNDLE is the folder with the package; POSIX sh, and `set -eu` must not stop it.

# Folders of other bundles go: a plug-in that was removed at home would be found there.
_accel_others=
_accel_left=${PYTHONPATH:+$PYTHONPATH:}
while [ -n "$_accel_left" ]; do
    _accel_one=${_accel_left%%:*}
    _accel_left=${_accel_left#*:}
    case "$_accel_one/" in
        */.accel_scaling/bundle/ | */.accel_scaling_bundle/*) ;;
        *) _accel_others="$_accel_others:$_accel_one" ;;
    esac
done
export PYTHONPATH="$ACCEL_SCALING_BUNDLE$_accel_others"

# The user's or the image's own hook is called after the check.
_accel_hook=accel_scaling.boot.start_hook.run
if [ "${RAY_START_HOOK:-$_accel_hook}" != "$_accel_hook" ]; then
    export ACCEL_SCALING_NEXT_HOOK="${ACCEL_SCALING_NEXT_HOOK:+$ACCEL_SCALING_NEXT_HOOK,}$RAY_START_HOOK"
fi
export RAY_START_HOOK="$_accel_hook"

# What Ray's autoscaler promised: the command may set these variables again. And where the verdict belongs: `sudo` may
# change HOME.
export ACCEL_SCALING_PROMISE="${RAY_OVERRIDE_RESOURCES-}" ACCEL_SCALING_PROMISED_LABELS="${RAY_OVERRIDE_LABELS-}"
export ACCEL_SCALING_HOME="$HOME/.accel_scaling"

# The hook ends the whole command where Ray must not start: what follows `ray start` in it (`|| true`) would continue.
export ACCEL_SCALING_SHELL="${BASHPID:-$$}"
trap 'exit 3' USR2
if [ -n "${ACCEL_SCALING_CONFIRM_ONLY-}" ]; then trap 'exit 0' USR1; fi

# The token that Ray asks for, which the updater has just copied here. Written again: rsync as root keeps the
# owner of the other machine. Over a file that is mounted, nothing can be moved.
_accel_in="$HOME/.accel_scaling_auth_token" _accel_token="$HOME/.ray/auth_token"
if [ -f "$_accel_in" ]; then
    (
        umask 077
        mkdir -p "$HOME/.ray" && cat "$_accel_in" > "$_accel_token.new" &&
            { mv -f "$_accel_token.new" "$_accel_token" 2>/dev/null ||
                { cat "$_accel_token.new" > "$_accel_token" && chmod 600 "$_accel_token"; }; }
        rm -f "$_accel_in" "$_accel_token.new"
    ) || :
fi

# For people and `ray exec` on this node: the command, and `import accel_scaling` in their drivers. The hook adds the
# Python that runs ray. Not on every file system; the check needs none of it.
{
    mkdir -p "$ACCEL_SCALING_HOME"
    if ! grep -qsF "$ACCEL_SCALING_BUNDLE:" "$ACCEL_SCALING_HOME/env.sh"; then
        cat > "$ACCEL_SCALING_HOME/env.sh" <<END
case ":\$PYTHONPATH:" in *":$ACCEL_SCALING_BUNDLE:"*) ;; *)
    export PYTHONPATH="$ACCEL_SCALING_BUNDLE\${PYTHONPATH:+:\$PYTHONPATH}" PATH="$ACCEL_SCALING_BUNDLE/bin:\$PATH" ;;
esac
END
    fi
    _accel_line=". \"\$HOME/.accel_scaling/env.sh\"  # accel_scaling"
    grep -qsxF "$_accel_line" "$HOME/.bashrc" || printf '%s\n' "$_accel_line" >> "$HOME/.bashrc"
} 2>/dev/null || :
unset _accel_others _accel_left _accel_one _accel_hook _accel_line _accel_in _accel_token
